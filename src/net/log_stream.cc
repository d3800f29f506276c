// A job's log to one client: follows the files while the agent appends, waits for a slow reader, frees all when it
// goes.
#include <algorithm>

#include <fmt/format.h>

#include "net/connection.h"
#include "net/log_reader.h"

namespace mayfly::net {
namespace {

std::string parent(const std::string& path) {
  auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// Bytes in hand, counted in the server's statistics.
class Buffered {
 public:
  explicit Buffered(ServerStats& stats) : stats_(stats) {}
  ~Buffered() { set(0); }
  void set(std::size_t bytes) {
    auto now = stats_.buffered += static_cast<std::int64_t>(bytes) - bytes_;
    bytes_ = static_cast<std::int64_t>(bytes);
    if (now > stats_.buffered_peak) stats_.buffered_peak = now;  // written on the loop's thread alone
  }

 private:
  ServerStats& stats_;
  std::int64_t bytes_ = 0;
};

// Wakes the stream when the files change. What exists of the path is watched: the index, else its directory, else the
// directory above, since a queued job has no log yet.
class Watcher {
 public:
  Watcher(FileWatch& files, std::string index_path, std::function<void()> wake)
      : files_(files), index_path_(std::move(index_path)), wake_(std::move(wake)) {}

  // To be called before looking at the files, until it watches the index itself.
  void follow() {
    if (on_index_) return;
    std::string path = index_path_;
    for (int depth = 0; depth < 3; ++depth, path = parent(path)) {
      auto subscription = files_.watch(path, wake_);
      if (subscription) {
        subscription_ = std::move(*subscription);
        on_index_ = depth == 0;
        polls_ = false;
        return;
      }
      if (subscription.error().code != ErrorCode::not_found) break;
    }
    polls_ = true;  // out of watches: slower, but it goes on
  }
  bool polls() const { return polls_; }

 private:
  FileWatch& files_;
  std::string index_path_;
  std::function<void()> wake_;
  std::unique_ptr<FileWatch::Subscription> subscription_;
  bool on_index_ = false, polls_ = false;
};

}  // namespace

class LogStream {
 public:
  LogStream(Connection& c, const LogFollow& f, bool chunked)
      : c_(c),
        follow_(f),
        chunked_(chunked),
        reader_(f.log_path, f.index_path, f.offset),
        watcher_(c.core_->files, f.index_path, [this] { changed_ = true, c_.wake_.notify(); }),
        buffered_(c.core_->stats) {
    ++c_.core_->stats.log_streams;
    if (!follow_.ended) return;
    watch_ = follow_.ended->watch([core = c_.core_, weak = c_.weak_from_this()] {
      core->loop.post([weak] {
        if (auto connection = weak.lock()) connection->wake_.notify();
      });
    });
  }
  ~LogStream() {
    if (watch_ != 0) follow_.ended->unwatch(watch_);
    --c_.core_->stats.log_streams;
  }

  // true: all was sent. false: the client went, or the log could not be read.
  Task<bool> run() {
    auto quiet_since = std::chrono::steady_clock::now();
    for (;;) {
      bool ended =
          !follow_.ended || follow_.ended->raised();  // asked before reading: what came before the end is there
      changed_ = false;
      if (!ended) watcher_.follow();
      auto got = next();
      if (!got) co_return false;
      if (*got) {
        bool sent = co_await send();
        if (!sent) co_return false;
        quiet_since = std::chrono::steady_clock::now();
        continue;
      }
      if (ended) co_return true;
      std::string().swap(buffer_);  // a quiet stream holds no buffer
      buffered_.set(0);
      bool alive = co_await wait(quiet_since);
      if (!alive) co_return false;
    }
  }

 private:
  Result<bool> next() {
    auto there = reader_.open();
    if (there && *there) {
      watcher_.follow();
      auto read = reader_.read(buffer_, follow_.framed);
      if (!read)
        there = Unexpected(read.error());
      else
        return buffered_.set(buffer_.size()), !buffer_.empty();
    }
    if (!there) c_.core_->log.error("a log stream was cut: {}", there.error().text());
    return there;  // false: not there yet
  }

  Task<bool> send() {
    if (!chunked_) co_return co_await c_.write({buffer_, {}, {}}, false);
    auto size = fmt::format("{:x}\r\n", buffer_.size());
    co_return co_await c_.write({size, buffer_, "\r\n"}, false);
  }

  // Until something changed; sends keepalives meanwhile. false: the client is gone.
  Task<bool> wait(SteadyTime& quiet_since) {
    auto ended = [this] { return follow_.ended->raised(); };
    while (!changed_ && !ended()) {
      if (c_.peer_gone()) co_return false;
      auto now = std::chrono::steady_clock::now();
      auto until = follow_.framed ? quiet_since + follow_.keepalive : SteadyTime::max();
      if (follow_.framed && now >= until) {
        buffer_.resize(log_frame_header);
        put_log_frame_header(buffer_.data(), log_frame_keepalive, 0, reader_.position());
        bool sent = co_await send();
        if (!sent) co_return false;
        quiet_since = std::chrono::steady_clock::now();
        continue;
      }
      if (watcher_.polls()) until = std::min<SteadyTime>(until, now + milliseconds(100));
      co_await c_.wake_.wait(until);
      if (watcher_.polls()) changed_ = true;
    }
    co_return true;
  }

  Connection& c_;
  const LogFollow& follow_;
  bool chunked_;
  LogReader reader_;
  Watcher watcher_;
  Buffered buffered_;
  std::string buffer_;
  std::uint64_t watch_ = 0;
  bool changed_ = false;
};

Task<bool> Connection::send_log(const LogFollow& follow, bool head_only, bool http10, bool keep) {
  if (http10) keep = false;  // no chunks in HTTP/1.0: the end of the connection is the end of the log
  auto type = follow.framed ? log_frame_type : "application/octet-stream";
  auto top = head(200, type, std::nullopt, keep, !http10, {{"Cache-Control", "no-store"}});
  bool sent = co_await write({top, {}, {}});
  if (!sent || head_only) co_return sent&& keep;
  bool complete = false;
  {
    LogStream stream(*this, follow, !http10);
    complete = co_await stream.run();
  }
  if (!complete) co_return false;
  if (!http10) sent = co_await write({"0\r\n\r\n", {}, {}});
  co_return sent&& keep;
}

}  // namespace mayfly::net
