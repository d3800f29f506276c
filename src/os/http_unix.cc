// HTTP/1.1 to a server on this machine, over a unix socket.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "os/http1.h"
#include "os/http_transport.h"

namespace mayfly {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;
SteadyTime now() { return std::chrono::steady_clock::now(); }

class UnixTransport final : public HttpClient::Transport {
 public:
  explicit UnixTransport(const HttpServer& server) : server_(server) {}
  ~UnixTransport() override { close(); }
  Result<HttpAnswer> exchange(const HttpRequest& request, const HttpStream* stream) override;

 private:
  enum class Ready { io, stop };

  Result<void> connect();
  void close();
  Result<HttpAnswer> once(bool reused);
  Result<void> send_all(std::string_view bytes);
  Result<void> send_body();
  Result<HttpAnswer> receive(bool reused);
  Result<Ready> wait(short events);
  Result<bool> body_part(HttpAnswer& answer, std::string_view part, int status);
  Error broke(const char* what, int error) {
    return Error{ErrorCode::unavailable, fmt::format("{}: {}", what, std::strerror(error)), server_.unix_socket, {}};
  }

  HttpServer server_;
  int fd_ = -1;
  // Of the exchange under way.
  const HttpRequest* request_ = nullptr;
  const HttpStream* stream_ = nullptr;
  SteadyTime deadline_, last_byte_, next_tick_;
  bool answered_early_ = false;  // the server answers, or hung up, before it has read all: no point in sending the rest
  bool nothing_came_ = false;    // the reused connection was already closed: safe to send again
  bool stopped_ = false;
};

Result<HttpAnswer> UnixTransport::exchange(const HttpRequest& request, const HttpStream* stream) {
  request_ = &request;
  stream_ = stream;
  last_byte_ = now();
  deadline_ = request.timeout.count() > 0 ? last_byte_ + request.timeout : SteadyTime::max();
  next_tick_ = stream ? last_byte_ + stream->tick : SteadyTime::max();
  bool reused = fd_ >= 0;
  auto answer = once(reused);
  if (!answer && reused && nothing_came_ && !request.upload) answer = once(false);
  if (!answer) close();
  return answer;
}

Result<HttpAnswer> UnixTransport::once(bool reused) {
  answered_early_ = nothing_came_ = stopped_ = false;
  if (!reused) {
    close();
    MAYFLY_TRY(connect());
  }
  std::string head = fmt::format("{} {} HTTP/1.1\r\nHost: mayfly\r\n", request_->method, request_->path);
  if (!server_.bearer_token.empty()) head += fmt::format("Authorization: Bearer {}\r\n", server_.bearer_token);
  if (request_->upload) {
    head += fmt::format("Content-Type: {}\r\nTransfer-Encoding: chunked\r\n", request_->content_type);
  } else if (!request_->body.empty() || request_->method == "POST") {
    head += fmt::format("Content-Type: {}\r\nContent-Length: {}\r\n", request_->content_type, request_->body.size());
  }
  for (const auto& [name, value] : request_->headers) head += fmt::format("{}: {}\r\n", name, value);
  head += "\r\n";
  // Head and body in one write: one wake-up of the server fewer.
  MAYFLY_TRY(send_all(head + request_->body));
  if (request_->upload && !answered_early_ && !stopped_) MAYFLY_TRY(send_body());
  return receive(reused);
}

Result<void> UnixTransport::connect() {
  const auto& path = server_.unix_socket;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(
        ErrorCode::invalid,
        fmt::format("a unix socket's path has at most {} bytes, this has {}", sizeof address.sun_path - 1, path.size()),
        path, "Use a state directory with a shorter path.");
  std::memcpy(address.sun_path, path.data(), path.size());
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd_ < 0) return Unexpected(broke("no socket", errno));
  while (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR) continue;
    if (errno == EACCES)
      return fail(ErrorCode::denied, "you may not use this socket", path, "Run as the user whose daemon it is.");
    if (errno != EAGAIN || now() > deadline_) return Unexpected(broke("no connection can be made", errno));
    ::poll(nullptr, 0, 5);  // the server's queue of connections is full; it has no other way to be waited for
  }
  connected = true;
  return {};
}

void UnixTransport::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

// Waits until the socket is ready; meanwhile serves the stream's wake-ups.
Result<UnixTransport::Ready> UnixTransport::wait(short events) {
  for (;;) {
    auto until = std::min(deadline_, next_tick_);
    if (request_->idle_timeout.count() > 0) until = std::min(until, last_byte_ + request_->idle_timeout);
    int ms = -1;
    if (until != SteadyTime::max()) {
      auto left = std::chrono::ceil<milliseconds>(until - now()).count();
      ms = static_cast<int>(std::clamp<long>(left, 0, 3'600'000));
    }
    std::array<pollfd, 2> fds{{{fd_, events, 0}, {stream_ ? stream_->wake_fd : -1, POLLIN, 0}}};
    int n = ::poll(fds.data(), fds.size(), ms);
    if (n < 0 && errno != EINTR) return Unexpected(broke("poll", errno));
    if (n > 0 && fds[0].revents != 0) {
      last_byte_ = now();
      // A busy stream must not starve the wake-ups (Ctrl-C while a job floods its log).
      bool due = fds[1].revents != 0 || last_byte_ >= next_tick_;
      if (!due) return Ready::io;
    }
    if (stream_ && (now() >= next_tick_ || fds[1].revents != 0)) {
      next_tick_ = now() + stream_->tick;
      if (stream_->on_wake && !stream_->on_wake()) return stopped_ = true, Ready::stop;
    }
    if (n > 0 && fds[0].revents != 0) return Ready::io;
    if (now() >= deadline_)
      return fail(ErrorCode::timeout, fmt::format("no answer within {}", format_duration(request_->timeout)),
                  server_.unix_socket);
    if (request_->idle_timeout.count() > 0 && now() >= last_byte_ + request_->idle_timeout)
      return fail(ErrorCode::timeout, fmt::format("nothing was heard for {}", format_duration(request_->idle_timeout)),
                  server_.unix_socket);
  }
}

Result<void> UnixTransport::send_all(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) return answered_early_ = true, Result<void>{};
    if (n < 0 && errno != EAGAIN) return Unexpected(broke("sending", errno));
    MAYFLY_ASSIGN(Ready ready, wait(POLLOUT | POLLIN));
    if (ready == Ready::stop) return {};
    pollfd in{fd_, POLLIN, 0};
    if (::poll(&in, 1, 0) > 0) return answered_early_ = true, Result<void>{};
  }
  return {};
}

Result<void> UnixTransport::send_body() {
  std::string chunk;
  constexpr std::size_t room = 256u << 10, head = 10;  // "%08x\r\n"
  for (;;) {
    chunk.resize(head + room);
    MAYFLY_ASSIGN(std::size_t n, request_->upload(chunk.data() + head, room));
    if (n == 0) return send_all("0\r\n\r\n");
    std::memcpy(chunk.data(), fmt::format("{:08x}\r\n", n).data(), head);
    chunk.resize(head + n);
    chunk += "\r\n";
    MAYFLY_TRY(send_all(chunk));
    if (answered_early_ || stopped_) return {};
  }
}

Result<HttpAnswer> UnixTransport::receive(bool reused) {
  HttpAnswer answer;
  Http1Answer parser;
  std::optional<Error> too_long;
  auto body = [&](std::string_view part) {
    auto more = body_part(answer, part, parser.status);
    if (!more) too_long = more.error();
    return more && *more;
  };
  std::array<char, 64 << 10> buffer;
  bool any = false;
  while (!parser.done() && !stopped_) {
    ssize_t n = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      MAYFLY_ASSIGN(Ready ready, wait(POLLIN));
      static_cast<void>(ready);
      continue;
    }
    if (n <= 0) {
      nothing_came_ = reused && !any;
      if (n < 0) return Unexpected(broke("the connection broke", errno));
      auto ended = parser.end_of_stream();
      if (!ended)
        return fail(ended.error().code, any ? ended.error().what : "the connection was closed without an answer",
                    server_.unix_socket);
      break;
    }
    any = true;
    if (auto fed = parser.feed({buffer.data(), static_cast<std::size_t>(n)}, body); !fed)
      return fail(fed.error().code, fed.error().what, server_.unix_socket);
    if (too_long) return Unexpected(*too_long);
    if (parser.stopped()) stopped_ = true;
    // A stream that always has bytes never waits: look after its wake-ups here.
    if (stream_ && (stream_->wake_fd >= 0 || now() >= next_tick_) && !parser.done() && !stopped_) {
      pollfd wake{stream_->wake_fd, POLLIN, 0};
      if (now() >= next_tick_ || ::poll(&wake, 1, 0) > 0) {
        next_tick_ = now() + stream_->tick;
        if (stream_->on_wake && !stream_->on_wake()) stopped_ = true;
      }
    }
  }
  answer.status = parser.status;
  answer.content_type = parser.content_type;
  answer.headers = std::move(parser.headers);
  answer.stopped = stopped_;
  if (stopped_ || answered_early_ || !parser.reusable()) close();
  return answer;
}

Result<bool> UnixTransport::body_part(HttpAnswer& answer, std::string_view part, int status) {
  if (stream_ && stream_->on_chunk && status / 100 == 2) return stream_->on_chunk(part);
  if (answer.body.size() + part.size() > request_->limit)
    return fail(ErrorCode::exhausted,
                fmt::format("the answer to {} is longer than {} bytes", request_->path, request_->limit),
                server_.unix_socket);
  answer.body += part;
  return true;
}

}  // namespace

std::unique_ptr<HttpClient::Transport> make_unix_transport(const HttpServer& server) {
  return std::make_unique<UnixTransport>(server);
}

}  // namespace mayfly
