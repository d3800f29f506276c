#include "net/connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

#include <cerrno>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include <fmt/format.h>

namespace mayfly::net {
namespace {

// What the API completes. Holds the core, so that its loop is there to post to, but not the connection.
class ConnectionReply final : public Reply {
 public:
  ConnectionReply(std::shared_ptr<ServerCore> core, std::weak_ptr<Connection> connection, std::uint64_t request)
      : core_(std::move(core)), connection_(std::move(connection)), request_(request) {}
  ~ConnectionReply() override {
    if (!used_.exchange(true))
      send(refusal(
          {500, {ErrorCode::internal, "the request was dropped without an answer", {}, "Please report this."}, {}}));
  }
  void json(int status, std::string body) override {
    once(FullAnswer{status, "application/json", std::move(body), {}});
  }
  void refuse(Refusal r) override { once(refusal(std::move(r))); }
  void file(std::string path, std::string type) override { once(FileAnswer{std::move(path), std::move(type)}); }
  void log(LogFollow follow) override { once(std::move(follow)); }
  void on_loop(std::function<void()> f) override { core_->loop.dispatch(std::move(f)); }
  void after(Duration d, std::function<void()> f) override {
    core_->loop.dispatch([weak = connection_, request = request_, d, f = std::move(f)] {
      if (auto connection = weak.lock())
        connection->after(request, d, f);
      else
        f();
    });
  }

 private:
  static FullAnswer refusal(Refusal r) {
    int status = r.status != 0 ? r.status : http_status(r.error);
    return {status, "application/json", error_body(r.error), std::move(r.headers)};
  }
  void once(Answer answer) {
    MAYFLY_CHECK(!used_.exchange(true));
    send(std::move(answer));
  }
  void send(Answer answer) {
    core_->loop.dispatch(
        [weak = connection_, request = request_, answer = std::make_shared<Answer>(std::move(answer))] {
          if (auto connection = weak.lock()) connection->answered(request, std::move(*answer));
        });
  }
  std::shared_ptr<ServerCore> core_;
  std::weak_ptr<Connection> connection_;
  std::uint64_t request_;
  std::atomic<bool> used_{false};
};

}  // namespace

Connection::Connection(std::shared_ptr<ServerCore> core, std::unique_ptr<Stream> stream, Peer peer)
    : core_(std::move(core)),
      stream_(std::move(stream)),
      peer_(std::move(peer)),
      in_limit_(core_->options.max_header + (16 << 10)),
      wake_(core_->loop.context()),
      drained_(core_->loop.context()),
      timer_(core_->loop.context()),
      reply_timer_(core_->loop.context()) {
  ++core_->stats.connections;
}

Connection::~Connection() { --core_->stats.connections; }

void Connection::start() {
  asio::co_spawn(core_->loop.context(), [self = shared_from_this()] { return self->run(); }, asio::detached);
}

void Connection::stop() {
  stopped_ = true;
  stream_->close();
  wake_.notify();
  drained_.notify();
}

void Connection::answered(std::uint64_t request, Answer answer) {
  if (request != request_ || answer_) return;
  answer_ = std::move(answer);
  reply_after_ = nullptr;
  reply_timer_.cancel();
  wake_.notify();
}

void Connection::after(std::uint64_t request, Duration d, std::function<void()> f) {
  if (request != request_ || answer_) return;
  if (stopped_) return f();
  reply_after_ = std::move(f);
  reply_timer_.expires_after(d);
  reply_timer_.async_wait([weak = weak_from_this()](error_code ec) {
    auto self = weak.lock();
    if (!ec && self && self->reply_after_) std::exchange(self->reply_after_, nullptr)();
  });
}

// One timer that moves only when it must: arming it anew for each request would cost a system call each.
void Connection::arm(Duration d) {
  deadline_ = std::chrono::steady_clock::now() + d;
  if (timer_runs_ && timer_.expiry() <= deadline_) return;
  timer_runs_ = true;
  timer_.expires_at(deadline_);
  timer_.async_wait([weak = weak_from_this()](error_code ec) {
    if (auto self = weak.lock(); self && !ec) self->watchdog();
  });
}

void Connection::watchdog() {
  timer_runs_ = false;
  if (deadline_ == SteadyTime::max()) return;
  auto left = deadline_ - std::chrono::steady_clock::now();
  if (left.count() > 0) return arm(std::chrono::duration_cast<Duration>(left) + Duration(1));
  expired_ = true;
  if (writing_) stream_->close();
  wake_.notify();
}

Task<void> Connection::pump() {
  auto self = shared_from_this();
  while (!stopped_) {
    if (in_.size() >= in_limit_) {
      co_await drained_.wait();
      continue;
    }
    bool open = co_await stream_->read(in_);
    if (!open) break;
    wake_.notify();
  }
  eof_ = true;
  wake_.notify();
}

// A unix socket's client that only shut its sending half still reads; over TCP the two look alike.
bool Connection::peer_gone() const {
  if (stopped_) return true;
  if (!eof_) return false;
  if (!peer_.uid || stream_->fd() < 0) return true;
  pollfd p{stream_->fd(), 0, 0};
  return ::poll(&p, 1, 0) != 0 && (p.revents & (POLLHUP | POLLERR)) != 0;
}

Task<void> Connection::run() {
  arm(core_->options.header_timeout);
  writing_ = true;  // lets the watchdog cut a handshake short
  bool open = co_await stream_->handshake();
  writing_ = false;
  if (open) {
    asio::co_spawn(core_->loop.context(), [self = shared_from_this()] { return self->pump(); }, asio::detached);
    for (;;) {
      bool more = co_await one_request();
      if (!more) break;
    }
  }
  disarm();
  timer_.cancel();
  stopped_ = true;
  stream_->close();
  drained_.notify();
}

Task<bool> Connection::read_header(HttpParser& parser) {
  arm(in_.empty() ? core_->options.idle_timeout : core_->options.header_timeout);
  bool begun = !in_.empty();
  std::size_t seen = 0;
  for (;;) {
    if (in_.size() > seen) {
      auto used = parser.feed(in_);
      if (!used) {
        auto status = parser.header_too_large() ? 431 : 400;
        auto e = used.error();
        if (status == 431)
          e = {ErrorCode::invalid,
               fmt::format("the request's header is larger than {} bytes", core_->options.max_header),
               "request",
               {}};
        co_return co_await refuse(status, e);
      }
      in_.erase(0, *used);
      if (parser.header_done()) co_return true;
      seen = in_.size();
    }
    if (eof_ || stopped_) co_return false;
    if (expired_) {
      if (!begun) co_return false;  // an idle connection: nobody waits for an answer
      co_return co_await refuse(408,
                                {ErrorCode::timeout, "the request's header did not arrive in time", "request", {}});
    }
    co_await wake_.wait();
    if (!begun && !in_.empty()) {
      begun = true;
      arm(core_->options.header_timeout);
    }
  }
}

// Where a body goes: memory, or a file that gets its name only when it is complete.
struct Connection::Body {
  Request& request;
  const Admission& admission;
  Fd fd;
  std::string part;
  std::optional<Error> error;
  bool too_large = false;

  ~Body() {
    if (!part.empty()) ::unlink(part.c_str());
  }
  Result<void> open() {
    if (admission.body_file.empty()) return {};
    part = admission.body_file + ".part";
    fd = Fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (fd) return {};
    int e = errno;
    auto path = std::exchange(part, {});  // not ours to remove
    return Unexpected(errno_error("cannot create the upload's file", e, path));
  }
  bool take(std::string_view piece) {
    request.body_bytes += piece.size();
    if (request.body_bytes > admission.body_limit) return too_large = true, false;
    if (!fd) return request.body.append(piece), true;
    while (!piece.empty()) {
      ssize_t n = ::write(fd.get(), piece.data(), piece.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return error = errno_error("cannot write the upload", errno, part), false;
      piece.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  Result<void> finish() {
    if (!fd) return {};
    if (::rename(part.c_str(), admission.body_file.c_str()) != 0)
      return Unexpected(errno_error("cannot keep the upload", errno, admission.body_file));
    part.clear();
    request.body_file = admission.body_file;
    return {};
  }
};

Task<bool> Connection::read_body(HttpParser& parser, Request& request, const Admission& admission) {
  Body body{request, admission, {}, {}, {}, false};
  Error too_large{ErrorCode::invalid,
                  fmt::format("the body is larger than {} bytes, the limit here", admission.body_limit),
                  "request",
                  {}};
  if (parser.content_length().value_or(0) > admission.body_limit) co_return co_await refuse(413, too_large);
  if (auto opened = body.open(); !opened) co_return co_await refuse(0, opened.error());
  if (request.header("expect") == "100-continue" && in_.empty() && !parser.done()) {
    bool sent = co_await write({"HTTP/1.1 100 Continue\r\n\r\n", {}, {}});
    if (!sent) co_return false;
  }
  parser.on_body([&body](std::string_view piece) { return body.take(piece); });
  std::size_t seen = 0;
  arm(core_->options.body_timeout);
  while (!parser.done()) {
    if (in_.size() > seen) {
      auto used = parser.feed(in_);
      if (body.too_large) co_return co_await refuse(413, too_large);
      if (body.error) co_return co_await refuse(0, *body.error);
      if (!used) co_return co_await refuse(400, used.error());
      in_.erase(0, *used);
      seen = in_.size();
      drained_.notify();
      arm(core_->options.body_timeout);
      continue;
    }
    // Pieces of chunk headers that wait for more must not fill the buffer for good.
    if (in_.size() >= in_limit_)
      co_return co_await refuse(400, {ErrorCode::invalid, "a chunk's header is too long", "request", {}});
    if (eof_ || stopped_) co_return false;
    if (expired_)
      co_return co_await refuse(408, {ErrorCode::timeout, "the request's body stopped arriving", "request", {}});
    co_await wake_.wait();
  }
  parser.on_body(nullptr);
  if (auto kept = body.finish(); !kept) co_return co_await refuse(0, kept.error());
  co_return true;
}

Task<bool> Connection::one_request() {
  HttpParser parser(core_->options.max_header);
  bool complete = co_await read_header(parser);
  if (!complete) co_return false;
  Request request;
  auto& head = parser.head();
  request.method = std::move(head.method);
  request.headers = std::move(head.headers);
  request.peer = peer_;
  auto target = parse_target(head.target);
  if (!target) co_return co_await refuse(400, target.error());
  request.target = std::move(*target);
  auto admission = core_->admit(request);
  if (!admission) {
    auto& r = admission.error();
    bool keep = parser.done() && parser.keep_alive();  // a body that is not wanted is not read either
    if (!keep) co_return co_await refuse(r.status, r.error, r.headers);
    FullAnswer answer{r.status != 0 ? r.status : http_status(r.error), "application/json", error_body(r.error),
                      r.headers};
    co_return co_await send_full(answer, request.method == "HEAD", head.http10, true);
  }
  request.who = admission->who;
  if (!parser.done() || !admission->body_file.empty()) {
    complete = co_await read_body(parser, request, *admission);
    if (!complete) co_return false;
  }
  disarm();
  ++core_->stats.requests;
  ++request_;
  answer_.reset();
  bool head_only = request.method == "HEAD", keep = parser.keep_alive();
  try {
    core_->handler(std::move(request), std::make_shared<ConnectionReply>(core_, weak_from_this(), request_));
  } catch (const std::exception& e) {
    core_->log.error("a request handler threw: {}", e.what());  // its reply, dropped, has answered 500
  }
  while (!answer_ && !peer_gone()) co_await wake_.wait();
  if (!answer_) {
    reply_timer_.cancel();
    if (reply_after_) std::exchange(reply_after_, nullptr)();
    co_return false;
  }
  auto answer = std::move(*answer_);
  request.method = head_only ? "HEAD" : "GET";
  co_return co_await respond(std::move(answer), request, head.http10, keep);
}

}  // namespace mayfly::net
