// How a connection sends its answers.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include <fmt/format.h>

#include "net/connection.h"

namespace mayfly::net {

std::string Connection::head(int status, std::string_view type, std::optional<std::uint64_t> length, bool keep,
                             bool chunked, const std::vector<std::pair<std::string, std::string>>& more) const {
  auto out = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\n", status, http_reason(status), type);
  if (length) out += fmt::format("Content-Length: {}\r\n", *length);
  if (chunked) out += "Transfer-Encoding: chunked\r\n";
  for (const auto& [name, value] : more) out += fmt::format("{}: {}\r\n", name, value);
  out += keep ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
  return out;
}

Task<bool> Connection::write(std::array<std::string_view, 3> parts, bool with_timeout) {
  if (stopped_) co_return false;
  expired_ = false;
  writing_ = true;
  if (with_timeout)
    arm(core_->options.write_timeout);
  else
    disarm();
  bool sent = co_await stream_->write(parts);
  writing_ = false;
  disarm();
  co_return sent;
}

// Answers a request that is not read to its end; always false: the connection ends with it.
Task<bool> Connection::refuse(int status, Error error, std::vector<std::pair<std::string, std::string>> headers) {
  FullAnswer answer{status != 0 ? status : http_status(error), "application/json", error_body(error),
                    std::move(headers)};
  co_await send_full(answer, false, false, false);
  co_await linger();
  co_return false;
}

// Closing with unread bytes resets the connection, and the client would lose the answer that says why.
Task<void> Connection::linger() {
  stream_->end_writing();
  expired_ = false;
  arm(std::min<Duration>(seconds(2), core_->options.body_timeout));
  std::size_t dropped = 0;
  while (!eof_ && !stopped_ && !expired_ && dropped < (16u << 20)) {
    dropped += in_.size();
    in_.clear();
    drained_.notify();
    co_await wake_.wait();
  }
}

Task<bool> Connection::respond(Answer answer, const Request& request, bool http10, bool keep) {
  bool head_only = request.method == "HEAD";
  if (auto* full = std::get_if<FullAnswer>(&answer)) co_return co_await send_full(*full, head_only, http10, keep);
  if (auto* file = std::get_if<FileAnswer>(&answer)) co_return co_await send_file(*file, head_only, http10, keep);
  co_return co_await send_log(std::get<LogFollow>(answer), head_only, http10, keep);
}

Task<bool> Connection::send_full(const FullAnswer& answer, bool head_only, bool, bool keep) {
  auto top = head(answer.status, answer.type, answer.body.size(), keep, false, answer.headers);
  bool sent = co_await write({top, head_only ? std::string_view() : std::string_view(answer.body), {}});
  co_return sent&& keep;
}

Task<bool> Connection::send_file(const FileAnswer& answer, bool head_only, bool http10, bool keep) {
  Fd fd(::open(answer.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat st{};
  if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) {
    auto e = fd ? Error{ErrorCode::internal, "not a regular file", answer.path, {}}
                : errno_error("cannot open the file", errno, answer.path);
    FullAnswer error{http_status(e), "application/json", error_body(e), {}};
    co_return co_await send_full(error, head_only, http10, keep);
  }
  auto left = static_cast<std::uint64_t>(st.st_size);
  auto top = head(200, answer.type, left, keep, false);
  bool sent = co_await write({top, {}, {}});
  std::string chunk;
  off_t at = 0;
  while (sent && left > 0 && !head_only) {
    chunk.resize(std::min<std::uint64_t>(left, 256 << 10));
    ssize_t n = ::pread(fd.get(), chunk.data(), chunk.size(), at);
    if (n <= 0) co_return false;  // shorter than promised: closing tells the client
    at += n;
    left -= static_cast<std::uint64_t>(n);
    sent = co_await write({std::string_view(chunk.data(), static_cast<std::size_t>(n)), {}, {}});
  }
  co_return sent&& keep;
}

}  // namespace mayfly::net
