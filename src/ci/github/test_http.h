#pragma once
// For tests of ci/github only: an HTTP server on loopback with a thread for each connection, so that a request that is
// never answered holds up nobody else.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/result.h"

namespace mayfly::github::test {

struct Asked {
  std::string method, path;                    // without the query
  std::map<std::string, std::string> query;    // as written, not decoded
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};
struct Answer {
  int status = 200;
  std::string body = {};
  std::map<std::string, std::string> headers = {{"Content-Type", "application/json; charset=utf-8"}};
};

class HttpServerForTests {
 public:
  // `handle` is called on many threads; nothing: the request is never answered.
  explicit HttpServerForTests(std::function<std::optional<Answer>(const Asked&)> handle) : handle_(std::move(handle)) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t n = sizeof a;
    auto* address = reinterpret_cast<sockaddr*>(&a);
    MAYFLY_CHECK(::bind(listener_, address, n) == 0 && ::listen(listener_, 64) == 0 &&
                 ::getsockname(listener_, address, &n) == 0);
    url_ = fmt::format("http://127.0.0.1:{}", ntohs(a.sin_port));
    acceptor_ = std::thread([this] { accept(); });
  }
  ~HttpServerForTests() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    {
      std::lock_guard lock(mutex_);
      for (int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (auto& t : threads_) t.join();
    ::close(listener_);
  }
  const std::string& url() const { return url_; }

 private:
  void accept() {
    for (int fd; (fd = ::accept(listener_, nullptr, nullptr)) >= 0;) {
      std::lock_guard lock(mutex_);
      open_.insert(fd);
      threads_.emplace_back([this, fd] { serve(fd); });
    }
  }
  void serve(int fd) {
    std::string in;
    for (char bytes[8192];;) {
      auto n = ::recv(fd, bytes, sizeof bytes, 0);
      if (n <= 0) break;
      in.append(bytes, static_cast<std::size_t>(n));
      auto asked = take(in);
      if (!asked) continue;
      auto answer = handle_(*asked);
      if (!answer) continue;
      std::string out = fmt::format("HTTP/1.1 {} X\r\n", answer->status);
      for (const auto& [k, v] : answer->headers) out += fmt::format("{}: {}\r\n", k, v);
      if (answer->status != 304 && answer->status != 204)
        out += fmt::format("Content-Length: {}\r\n", answer->body.size());
      out += "\r\n" + answer->body;
      if (::send(fd, out.data(), out.size(), MSG_NOSIGNAL) < 0) break;
    }
    std::lock_guard lock(mutex_);
    open_.erase(fd);
    ::close(fd);
  }
  // One whole request from the beginning of `in`, if it is there.
  static std::optional<Asked> take(std::string& in) {
    auto end = in.find("\r\n\r\n");
    if (end == std::string::npos) return std::nullopt;
    Asked a;
    auto line = in.substr(0, in.find("\r\n"));
    a.method = line.substr(0, line.find(' '));
    auto target = line.substr(a.method.size() + 1);
    target.resize(target.find(' '));
    for (std::size_t at = in.find("\r\n") + 2; at < end + 2;) {
      auto stop = in.find("\r\n", at);
      auto header = in.substr(at, stop - at);
      auto colon = header.find(':');
      auto name = header.substr(0, colon);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      a.headers[name] = header.substr(header.find_first_not_of(' ', colon + 1));
      at = stop + 2;
    }
    std::size_t length = a.headers.contains("content-length") ? std::stoul(a.headers["content-length"]) : 0;
    if (in.size() < end + 4 + length) return std::nullopt;
    a.body = in.substr(end + 4, length);
    in.erase(0, end + 4 + length);
    auto mark = target.find('?');
    a.path = target.substr(0, mark);
    while (mark != std::string::npos) {
      auto next = target.find('&', mark + 1);
      auto pair = target.substr(mark + 1, next == std::string::npos ? next : next - mark - 1);
      a.query[pair.substr(0, pair.find('='))] =
          pair.find('=') == std::string::npos ? "" : pair.substr(pair.find('=') + 1);
      mark = next;
    }
    return a;
  }

  std::function<std::optional<Answer>(const Asked&)> handle_;
  int listener_ = -1;
  std::string url_;
  std::thread acceptor_;
  std::mutex mutex_;
  std::set<int> open_;
  std::vector<std::thread> threads_;
};

}  // namespace mayfly::github::test
