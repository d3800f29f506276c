#pragma once
// For tests of net/ and api/ only: a raw client that says exactly what it is told, and temporary directories.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace mayfly::net::test {

class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/mayfly-test-XXXXXX";
    MAYFLY_CHECK(::mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// Looks again and again until it holds, for at most 20 s.
inline bool eventually(const std::function<bool()>& condition) {
  auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

inline Fd connect_to(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd.reset();
  return fd;
}

struct Response {
  int status = 0;
  std::string head, body;
  std::string header(const std::string& name) const {
    auto at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return {};
    at += name.size() + 4;
    return head.substr(at, head.find("\r\n", at) - at);
  }
};

class RawClient {
 public:
  explicit RawClient(const std::string& socket_path) : fd_(connect_to(socket_path)) {}
  bool connected() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  void close() { fd_.reset(); }
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  // false: the other side closed, or nothing came for 20 s.
  bool receive() {
    pollfd p{fd_.get(), POLLIN, 0};
    if (::poll(&p, 1, 20'000) <= 0) return false;
    char buffer[64 << 10];
    ssize_t n = ::recv(fd_.get(), buffer, sizeof buffer, 0);
    if (n <= 0) return false;
    in_.append(buffer, static_cast<std::size_t>(n));
    return true;
  }
  bool closed_by_peer() {
    while (receive()) {
    }
    char c;
    return ::recv(fd_.get(), &c, 1, MSG_DONTWAIT) == 0;
  }
  bool read_head(Response& r) {
    std::size_t end;
    while ((end = in_.find("\r\n\r\n")) == std::string::npos)
      if (!receive()) return false;
    r.head = in_.substr(0, end + 2);
    r.status = std::atoi(r.head.c_str() + 9);
    in_.erase(0, end + 4);
    return true;
  }
  bool read_exactly(std::size_t n, std::string& out) {
    while (in_.size() < n)
      if (!receive()) return false;
    out = in_.substr(0, n);
    in_.erase(0, n);
    return true;
  }
  // The next chunk of a chunked body; empty at its end; false when cut off.
  bool read_chunk(std::string& out) {
    std::size_t end;
    while ((end = in_.find("\r\n")) == std::string::npos)
      if (!receive()) return false;
    auto size = std::strtoull(in_.c_str(), nullptr, 16);
    in_.erase(0, end + 2);
    std::string tail;
    return read_exactly(size, out) && read_exactly(2, tail);
  }
  Response read_response(bool to_head = false) {
    Response r;
    if (!read_head(r)) return {};
    if (r.head.find("Transfer-Encoding: chunked") != std::string::npos) {
      for (std::string chunk; read_chunk(chunk) && !chunk.empty();) r.body += chunk;
    } else if (!to_head && !read_exactly(std::strtoull(r.header("Content-Length").c_str(), nullptr, 10), r.body)) {
      return {};
    }
    return r;
  }
  Response request(std::string_view method, const std::string& target, const std::string& body = {},
                   const std::string& more = {}) {
    std::string text = std::string(method) + " " + target + " HTTP/1.1\r\nHost: mayfly\r\n" + more;
    if (!body.empty()) text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    if (!send(text + "\r\n" + body)) return {};
    return read_response(method == "HEAD");
  }

 private:
  Fd fd_;
  std::string in_;
};

}  // namespace mayfly::net::test
