#include "net/server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <condition_variable>
#include <fstream>
#include <mutex>
#include <thread>

#include "net/test_support.h"

namespace mayfly::net {
namespace {

using test::eventually;
using test::RawClient;

class ServerTest : public ::testing::Test {
 protected:
  void start(ServerOptions options = {}) {
    options.socket_path = socket_;
    auto made = Server::start(
        std::move(options),
        [this](const Request& head) -> tl::expected<Admission, Refusal> {
          if (head.target.path == "/forbidden")
            return tl::unexpected(Refusal{401, {ErrorCode::denied, "no"}, {{"WWW-Authenticate", "Bearer"}}});
          Admission a{"somebody", 1000, {}};
          if (head.target.path == "/upload") a.body_limit = 5'000'000, a.body_file = dir_.file("upload");
          return a;
        },
        [this](Request r, std::shared_ptr<Reply> reply) { handle(std::move(r), std::move(reply)); }, log_);
    ASSERT_TRUE(made) << made.error().text();
    server_ = std::move(*made);
  }

  void handle(Request r, std::shared_ptr<Reply> reply) {
    const auto& path = r.target.path;
    if (path == "/later") {
      std::lock_guard lock(mutex_);
      later_.push_back(std::move(reply));
      arrived_.notify_all();
    } else if (path == "/drop") {
      // the reply goes unanswered
    } else if (path == "/throw") {
      throw std::runtime_error("a bug");
    } else if (path == "/file") {
      reply->file(dir_.file("upload"), "application/x-tar");
    } else {
      reply->json(200, r.method + " " + path + " " + r.body + (r.body_file.empty() ? "" : " in a file") + " uid " +
                           std::to_string(r.peer.uid.value_or(9)) + " " + r.who);
    }
  }

  std::shared_ptr<Reply> take_later() {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, std::chrono::seconds(20), [this] { return !later_.empty(); })) return nullptr;
    auto reply = later_.back();
    later_.pop_back();
    return reply;
  }

  std::string me() const { return " uid " + std::to_string(::getuid()) + " somebody"; }

  test::TempDir dir_;
  std::string socket_ = dir_.file("s");
  Log log_{LogLevel::error};
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<std::shared_ptr<Reply>> later_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, KeepsAConnectionAliveForManyRequests) {
  start();
  RawClient client(socket_);
  for (int i = 0; i < 5; ++i) {
    auto r = client.request("GET", "/n" + std::to_string(i));
    EXPECT_EQ(r.status, 200);
    EXPECT_EQ(r.body, "GET /n" + std::to_string(i) + " " + me());
  }
  EXPECT_EQ(server_->stats().connections, 1);
}

TEST_F(ServerTest, OnlyTheOwnerMayConnect) {
  start();
  struct stat st{};
  ASSERT_EQ(::stat(socket_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600u);
}

TEST_F(ServerTest, ASecondServerOnTheSameSocketIsRefusedAndAStaleSocketIsReplaced) {
  start();
  ServerOptions o;
  o.socket_path = socket_;
  auto second =
      Server::start(o, [](const Request&) { return Admission{}; }, [](Request, std::shared_ptr<Reply>) {}, log_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::conflict);
  server_.reset();
  {  // bound, and nobody listens: what a killed daemon leaves
    Fd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    socket_.copy(a.sun_path, sizeof a.sun_path - 1);
    ASSERT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&a), sizeof a), 0);
  }
  start();
  EXPECT_EQ(RawClient(socket_).request("GET", "/").status, 200);
}

TEST_F(ServerTest, ServesAPathTooLongForASocketAddress) {
  auto deep = dir_.file(std::string(120, 'd'));
  std::filesystem::create_directory(deep);
  socket_ = deep + "/s";
  start();
  std::filesystem::create_symlink(deep, dir_.file("short"));
  EXPECT_EQ(RawClient(dir_.file("short/s")).request("GET", "/").status, 200);
}

TEST_F(ServerTest, AnswersPipelinedRequestsInOrderWhileTheFirstWaits) {
  start();
  RawClient client(socket_);
  client.send("GET /later HTTP/1.1\r\n\r\nPOST /b HTTP/1.1\r\nContent-Length: 3\r\n\r\nxyzGET /c HTTP/1.1\r\n\r\n");
  auto reply = take_later();
  ASSERT_TRUE(reply);
  std::thread([&] { reply->json(201, "first"); }).join();
  EXPECT_EQ(client.read_response().body, "first");
  EXPECT_EQ(client.read_response().body, "POST /b xyz" + me());
  EXPECT_EQ(client.read_response().body, "GET /c " + me());
}

TEST_F(ServerTest, AHeaderInPiecesAndAChunkedBodyAreOneRequest) {
  start();
  RawClient client(socket_);
  for (std::string piece :
       {"PO", "ST /x HTTP/1.1\r\nTransfer-Enc", "oding: chunked\r\n\r", "\n3\r\nab", "c\r\n2\r\nde\r\n0\r", "\n\r\n"}) {
    client.send(piece);
    std::this_thread::yield();
  }
  EXPECT_EQ(client.read_response().body, "POST /x abcde" + me());
}

TEST_F(ServerTest, RefusesWhatIsTooLarge) {
  start();
  RawClient header(socket_);
  header.send("GET / HTTP/1.1\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n");
  EXPECT_EQ(header.read_response().status, 431);
  EXPECT_TRUE(header.closed_by_peer());
  RawClient body(socket_);
  EXPECT_EQ(body.request("POST", "/", std::string(1001, 'b')).status, 413);
  RawClient chunked(socket_);
  chunked.send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n800\r\n" + std::string(2048, 'c') + "\r\n");
  EXPECT_EQ(chunked.read_response().status, 413);
}

TEST_F(ServerTest, RefusesMalformedRequests) {
  start();
  for (std::string bad :
       {"\x01\x02\x03\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET relative HTTP/1.1\r\n\r\n",
        "GET /%zz HTTP/1.1\r\n\r\n", "GET /a?x=1&x=2 HTTP/1.1\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    RawClient client(socket_);
    client.send(bad);
    auto r = client.read_response();
    EXPECT_EQ(r.status, 400) << bad;
    EXPECT_NE(r.body.find("\"error\""), std::string::npos) << bad;
  }
  EXPECT_TRUE(eventually([&] { return server_->stats().connections == 0; }));
}

TEST_F(ServerTest, SlowHeadersAndBodiesTimeOutButIdleConnectionsJustClose) {
  ServerOptions o;
  o.header_timeout = o.body_timeout = o.idle_timeout = milliseconds(30);
  start(o);
  RawClient header(socket_);
  header.send("GET / HT");
  EXPECT_EQ(header.read_response().status, 408);
  RawClient body(socket_);
  body.send("POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc");
  EXPECT_EQ(body.read_response().status, 408);
  RawClient idle(socket_);
  EXPECT_TRUE(idle.closed_by_peer());
}

TEST_F(ServerTest, AConnectionTooManyIsToldSo) {
  ServerOptions o;
  o.max_connections = 2;
  start(o);
  RawClient a(socket_), b(socket_);
  EXPECT_EQ(a.request("GET", "/").status, 200);
  EXPECT_EQ(b.request("GET", "/").status, 200);
  RawClient c(socket_);
  auto r = c.read_response();
  EXPECT_EQ(r.status, 503);
  EXPECT_NE(r.body.find("2 connections are open"), std::string::npos) << r.body;
  a.close();
  EXPECT_TRUE(eventually([&] { return RawClient(socket_).request("GET", "/").status == 200; }));
}

TEST_F(ServerTest, ARefusalBeforeTheBodyLeavesTheBodyUnread) {
  start();
  RawClient plain(socket_);
  auto r = plain.request("GET", "/forbidden");
  EXPECT_EQ(r.status, 401);
  EXPECT_EQ(r.header("WWW-Authenticate"), "Bearer");
  EXPECT_EQ(plain.request("GET", "/").status, 200);
  RawClient upload(socket_);
  upload.send("POST /forbidden HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nstart");
  EXPECT_EQ(upload.read_response().status, 401);
  EXPECT_TRUE(upload.closed_by_peer());
}

TEST_F(ServerTest, StreamsAnUploadIntoAFileAndAFileBack) {
  start();
  std::string data;
  for (int i = 0; data.size() < 3'000'000; ++i) data += std::to_string(i) + "\n";
  RawClient client(socket_);
  auto r = client.request("POST", "/upload", data, "Expect: 100-continue\r\n");
  if (r.status == 100) r = client.read_response();
  EXPECT_EQ(r.body, "POST /upload  in a file" + me());
  EXPECT_FALSE(std::filesystem::exists(dir_.file("upload.part")));
  auto back = client.request("GET", "/file");
  EXPECT_EQ(back.status, 200);
  EXPECT_TRUE(back.body == data);
  auto head = client.request("HEAD", "/file");
  EXPECT_EQ(head.header("Content-Length"), std::to_string(data.size()));
  EXPECT_EQ(client.request("GET", "/").status, 200);
}

TEST_F(ServerTest, AnUploadBrokenOffLeavesNothing) {
  start();
  RawClient client(socket_);
  client.send("POST /upload HTTP/1.1\r\nContent-Length: 100000\r\n\r\nabc");
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(dir_.file("upload.part")); }));
  client.close();
  EXPECT_TRUE(eventually([&] { return !std::filesystem::exists(dir_.file("upload.part")); }));
  EXPECT_FALSE(std::filesystem::exists(dir_.file("upload")));
}

TEST_F(ServerTest, ADroppedReplyAndAThrowingHandlerAre500) {
  start();
  RawClient client(socket_);
  EXPECT_EQ(client.request("GET", "/drop").status, 500);
  EXPECT_EQ(client.request("GET", "/throw").status, 500);
  EXPECT_EQ(client.request("GET", "/").status, 200);
}

TEST_F(ServerTest, AClientThatGoesWhileItWaitsIsForgotten) {
  start();
  RawClient client(socket_);
  client.send("GET /later HTTP/1.1\r\n\r\n");
  auto reply = take_later();
  ASSERT_TRUE(reply);
  client.close();
  EXPECT_TRUE(eventually([&] { return server_->stats().connections == 0; }));
  reply->json(200, "to nobody");
  EXPECT_EQ(RawClient(socket_).request("GET", "/").status, 200);
}

TEST_F(ServerTest, AClientThatOnlyShutItsSendingHalfIsAnswered) {
  start();
  RawClient client(socket_);
  client.send("GET /later HTTP/1.1\r\n\r\n");
  ::shutdown(client.fd(), SHUT_WR);
  auto reply = take_later();
  ASSERT_TRUE(reply);
  reply->json(200, "still here");
  EXPECT_EQ(client.read_response().body, "still here");
  EXPECT_TRUE(client.closed_by_peer());
}

TEST_F(ServerTest, StopsWithRequestsOpenAndTakesLateRepliesCalmly) {
  start();
  RawClient waiting(socket_), idle(socket_);
  waiting.send("GET /later HTTP/1.1\r\n\r\n");
  auto reply = take_later();
  ASSERT_TRUE(reply);
  server_.reset();
  EXPECT_TRUE(waiting.closed_by_peer());
  EXPECT_TRUE(idle.closed_by_peer());
  reply->json(200, "too late");
  EXPECT_FALSE(RawClient(socket_).connected());
}

TEST(TargetTest, DecodesPathAndQuery) {
  auto t = parse_target("/v1/jobs/a%2Fb/?state=queued&name=a+b%26c&flag").value();
  EXPECT_EQ(t.segments, (std::vector<std::string>{"v1", "jobs", "a/b"}));
  EXPECT_EQ(t.query.at("name"), "a b&c");
  EXPECT_EQ(t.query.at("flag"), "");
  EXPECT_EQ(parse_target("/").value().segments.size(), 0u);
  for (auto bad : {"", "x", "/%", "/%0", "/%00", "/?a=%g1", "/?a&a", "/a#b"}) EXPECT_FALSE(parse_target(bad)) << bad;
}

}  // namespace
}  // namespace mayfly::net
