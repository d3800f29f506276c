#include <gtest/gtest.h>
#include <malloc.h>

#include <fstream>
#include <random>
#include <thread>

#include "model/log_index.h"
#include "net/log_reader.h"
#include "net/server.h"
#include "net/test_support.h"

namespace mayfly::net {
namespace {

using test::eventually;
using test::RawClient;
using test::Response;

// Appends as an agent does: the log first, then the index.
class Appender {
 public:
  Appender(const std::string& directory)
      : log_(::open((directory + "/log").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600)),
        index_(::open((directory + "/log.index").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600)) {}
  void append(std::string_view bytes, LogStream stream = LogStream::out) {
    MAYFLY_CHECK(::write(log_.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    end_ += bytes.size();
    unsigned char record[LogRecord::size];
    encode(LogRecord{end_, Time{}, stream}, record);
    MAYFLY_CHECK(::write(index_.get(), record, sizeof record) == sizeof record);
  }

 private:
  Fd log_, index_;
  std::uint64_t end_ = 0;
};

struct Frame {
  int stream = -1;
  std::uint64_t offset = 0;
  std::string bytes;
};

// Takes frames off a chunked response.
class Frames {
 public:
  explicit Frames(RawClient& client) : client_(client) {}
  // false: the end (ended) or a cut.
  bool next(Frame& f) {
    while (buffer_.size() < log_frame_header || buffer_.size() < log_frame_header + length()) {
      std::string chunk;
      if (!client_.read_chunk(chunk)) return false;
      if (chunk.empty()) return ended = buffer_.empty(), false;
      buffer_ += chunk;
    }
    f.stream = static_cast<unsigned char>(buffer_[0]);
    std::memcpy(&f.offset, buffer_.data() + 8, 8);
    f.bytes = buffer_.substr(log_frame_header, length());
    buffer_.erase(0, log_frame_header + f.bytes.size());
    return true;
  }
  bool ended = false;

 private:
  std::uint32_t length() const {
    std::uint32_t n;
    std::memcpy(&n, buffer_.data() + 4, 4);
    return n;
  }
  RawClient& client_;
  std::string buffer_;
};

class LogStreamTest : public ::testing::Test {
 protected:
  LogStreamTest() {
    ServerOptions options;
    options.socket_path = dir_.file("s");
    auto made = Server::start(
        options, [](const Request&) { return Admission{}; },
        [this](Request r, std::shared_ptr<Reply> reply) {
          LogFollow f{job_ + "/log",
                      job_ + "/log.index",
                      std::stoull(r.target.query.at("offset")),
                      r.target.query.count("framed") != 0,
                      nullptr,
                      keepalive_};
          if (r.target.query.count("follow") != 0) f.ended = ended_;
          reply->log(f);
        },
        log_);
    MAYFLY_CHECK(made.has_value());
    server_ = std::move(*made);
  }

  void begin(RawClient& client, const std::string& query) {
    client.send("GET /log?" + query + " HTTP/1.1\r\n\r\n");
    Response r;
    ASSERT_TRUE(client.read_head(r));
    ASSERT_EQ(r.status, 200);
  }
  std::string get(const std::string& query) { return RawClient(socket()).request("GET", "/log?" + query).body; }
  std::string socket() const { return dir_.file("s"); }
  void make_job() { std::filesystem::create_directories(job_); }

  test::TempDir dir_;
  std::string job_ = dir_.file("jobs/7");
  std::shared_ptr<Notice> ended_ = std::make_shared<Notice>();
  Duration keepalive_ = seconds(15);
  Log log_{LogLevel::error};
  std::unique_ptr<Server> server_;
};

std::string as_text(const std::vector<Frame>& frames) {
  std::string out;
  for (const auto& f : frames) out += std::to_string(f.stream) + "@" + std::to_string(f.offset) + ":" + f.bytes + " ";
  return out;
}

TEST_F(LogStreamTest, SendsWhatIsThereFromAnyOffset) {
  make_job();
  Appender log(job_);
  log.append("abc");
  log.append("def", LogStream::err);
  log.append("ghi", LogStream::err);
  log.append("jkl");
  std::string all = "abcdefghijkl";
  for (std::size_t offset = 0; offset <= all.size() + 1; ++offset) {
    EXPECT_EQ(get("offset=" + std::to_string(offset)), offset < all.size() ? all.substr(offset) : "");
    RawClient client(socket());
    begin(client, "framed&offset=" + std::to_string(offset));
    Frames frames(client);
    std::string bytes;
    for (Frame f; frames.next(f);) {
      EXPECT_EQ(f.offset, offset + bytes.size());
      for (std::size_t i = 0; i < f.bytes.size(); ++i)
        EXPECT_EQ(f.stream, f.offset + i >= 3 && f.offset + i < 9 ? 2 : 1);
      bytes += f.bytes;
    }
    EXPECT_TRUE(frames.ended);
    EXPECT_EQ(bytes, offset < all.size() ? all.substr(offset) : "");
  }
}

TEST_F(LogStreamTest, BytesThatNoRecordCoversAreNotThereYet) {
  make_job();
  Appender log(job_);
  log.append("covered");
  std::ofstream(job_ + "/log", std::ios::app) << "not yet";
  std::ofstream(job_ + "/log.index", std::ios::app) << "half a record";
  EXPECT_EQ(get("offset=0"), "covered");
}

TEST_F(LogStreamTest, WithoutALogThereIsNothing) { EXPECT_EQ(get("offset=0"), ""); }

TEST_F(LogStreamTest, FollowsAJobFromBeforeItsDirectoryExists) {
  std::filesystem::create_directories(dir_.file("jobs"));
  RawClient client(socket());
  begin(client, "follow&offset=0");
  ASSERT_TRUE(eventually([&] { return server_->stats().log_streams == 1; }));
  make_job();
  Appender log(job_);
  for (std::string piece : {"one", "two", "three"}) {
    log.append(piece);
    std::string chunk;
    ASSERT_TRUE(client.read_chunk(chunk));
    EXPECT_EQ(chunk, piece);
  }
  ended_->raise();
  std::string chunk;
  EXPECT_TRUE(client.read_chunk(chunk));
  EXPECT_EQ(chunk, "");
  EXPECT_EQ(client.request("GET", "/log?offset=3").body, "twothree");  // the connection goes on
}

TEST_F(LogStreamTest, WaitsBeyondTheEndAndSendsFromThereOn) {
  make_job();
  Appender log(job_);
  log.append("abc");
  RawClient client(socket());
  begin(client, "follow&framed&offset=5");
  ASSERT_TRUE(eventually([&] { return server_->stats().log_streams == 1; }));
  log.append("d");
  log.append("efgh", LogStream::mayfly);
  Frames frames(client);
  Frame f;
  ASSERT_TRUE(frames.next(f));
  EXPECT_EQ(as_text({f}), "3@5:fgh ");
}

TEST_F(LogStreamTest, KeepsAQuietConnectionAlive) {
  keepalive_ = milliseconds(5);
  RawClient client(socket());
  begin(client, "follow&framed&offset=3");
  Frames frames(client);
  for (int i = 0; i < 3; ++i) {
    Frame f;
    ASSERT_TRUE(frames.next(f));
    EXPECT_EQ(as_text({f}), "0@3: ");
  }
}

TEST_F(LogStreamTest, AnIndexThatLiesCutsTheStreamInsteadOfInventingBytes) {
  make_job();
  Appender log(job_);
  log.append("abc");
  ASSERT_EQ(::truncate((job_ + "/log").c_str(), 1), 0);
  RawClient client(socket());
  begin(client, "follow&offset=0");
  std::string chunk;
  EXPECT_FALSE(client.read_chunk(chunk));
}

TEST_F(LogStreamTest, AClientThatVanishesFreesItsStream) {
  make_job();
  Appender log(job_);
  for (int i = 0; i < 50; ++i) {
    RawClient client(socket());
    begin(client, i % 2 == 0 ? "follow&offset=0" : "follow&framed&offset=0");
    ASSERT_TRUE(eventually([&] { return server_->stats().log_streams >= 1; }));
  }
  EXPECT_TRUE(eventually([&] { return server_->stats().log_streams == 0 && server_->stats().connections == 0; }));
  EXPECT_EQ(server_->stats().buffered, 0);
}

constexpr std::size_t much = 100 << 20;

// Writes 100 MB in pieces of 1 byte to 64 KiB, both streams, now and then giving way; returns what it wrote.
std::string write_much(const std::string& directory, std::string* streams = nullptr) {
  Appender log(directory);
  std::mt19937 random(7);
  std::string all(much, 0);
  for (std::size_t i = 0; i + 4 <= much; i += 4) {
    auto n = static_cast<std::uint32_t>(random());
    std::memcpy(all.data() + i, &n, 4);
  }
  if (streams) streams->reserve(much);
  for (std::size_t at = 0; at < much;) {
    std::size_t n = std::min<std::size_t>(much - at, random() % 4 == 0 ? 1 + random() % 40 : 1 + random() % (64 << 10));
    auto stream = random() % 3 == 0 ? LogStream::err : LogStream::out;
    log.append(std::string_view(all).substr(at, n), stream);
    if (streams) streams->append(n, static_cast<char>(stream));
    at += n;
    if (random() % 50 == 0) ::poll(nullptr, 0, static_cast<int>(random() % 3));
  }
  return all;
}

TEST_F(LogStreamTest, FollowsAHundredMegabytesFromSeveralOffsetsWithoutLosingAByte) {
  make_job();
  std::string all, streams;
  std::thread writer([&] {
    all = write_much(job_, &streams);
    ended_->raise();
  });
  struct Follower {
    std::uint64_t offset;
    bool framed;
    std::string bytes, streams;
    bool good = true, ended = false;
  };
  std::vector<Follower> followers{
      {0, true, {}, {}}, {0, false, {}, {}}, {12'345'678, true, {}, {}}, {much - 5, false, {}, {}}};
  std::vector<std::thread> threads;
  for (auto& f : followers) {
    threads.emplace_back([&] {
      RawClient client(socket());
      begin(client, std::string("follow") + (f.framed ? "&framed" : "") + "&offset=" + std::to_string(f.offset));
      Frames frames(client);
      for (Frame frame; f.framed && frames.next(frame);) {
        f.good = f.good && frame.offset == f.offset + f.bytes.size();
        f.bytes += frame.bytes;
        f.streams.append(frame.bytes.size(), static_cast<char>(frame.stream));
      }
      f.ended = frames.ended;
      for (std::string chunk; !f.framed && client.read_chunk(chunk) && !(f.ended = chunk.empty());) f.bytes += chunk;
    });
  }
  writer.join();
  for (auto& t : threads) t.join();
  for (auto& f : followers) {
    EXPECT_TRUE(f.ended) << f.offset;
    EXPECT_TRUE(f.good) << "an offset is wrong";
    EXPECT_EQ(f.bytes.size(), much - f.offset);
    EXPECT_TRUE(f.bytes == std::string_view(all).substr(f.offset)) << f.offset;
    if (f.framed) EXPECT_TRUE(f.streams == std::string_view(streams).substr(f.offset)) << f.offset;
  }
  EXPECT_LE(server_->stats().buffered_peak,
            4 * static_cast<std::int64_t>(LogReader::max_chunk + 1000 * log_frame_header));
}

TEST_F(LogStreamTest, ASlowReaderMakesNothingPileUpAndAReconnectGoesOnWhereItStopped) {
  make_job();
  std::vector<std::unique_ptr<RawClient>> slow;
  for (int i = 0; i < 8; ++i) {
    slow.push_back(std::make_unique<RawClient>(socket()));
    begin(*slow.back(), "follow&framed&offset=0");
  }
  auto before = ::mallinfo2().uordblks;
  auto all = write_much(job_);
  ended_->raise();
  // All have filled their sockets and wait; the server holds one chunk each, not 100 MB.
  ASSERT_TRUE(eventually([&] { return server_->stats().buffered > 0; }));
  constexpr auto bound = 8 * static_cast<std::int64_t>(LogReader::max_chunk + 1000 * log_frame_header);
  EXPECT_LE(server_->stats().buffered_peak, bound);
  EXPECT_LE(::mallinfo2().uordblks - before, much + 2 * static_cast<std::size_t>(bound));  // `all` itself is much
  std::string bytes;
  Frames frames(*slow[0]);
  for (Frame f; bytes.size() < 3'000'000 && frames.next(f);) bytes += f.bytes;
  slow.clear();
  EXPECT_TRUE(eventually([&] { return server_->stats().log_streams == 0 && server_->stats().buffered == 0; }));
  bytes += get("offset=" + std::to_string(bytes.size()));
  EXPECT_TRUE(bytes == all);
}

}  // namespace
}  // namespace mayfly::net
