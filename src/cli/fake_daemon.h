#pragma once
// For tests: a little HTTP server on a unix socket that answers as the test says, a runner for command lines against
// it, and a directory that goes away again.
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "cli/cli.h"

namespace mayfly {

struct TempDir {
  TempDir() {
    char name[] = "/tmp/mayfly-cli-XXXXXX";
    path = ::mkdtemp(name);
  }
  ~TempDir() { std::filesystem::remove_all(path); }
  std::string path;
};

struct FakeRequest {
  std::string method, target, head, body;
};

// One connection, while a request on it is answered.
class FakeConnection {
 public:
  explicit FakeConnection(int fd) : fd_(fd) {}
  void send(std::string_view bytes) { ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  void answer(int status, const std::string& body) {
    send(fmt::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", status,
                     body.size(), body));
  }
  void begin_stream() {
    send("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.mayfly.log\r\nTransfer-Encoding: chunked\r\n\r\n");
  }
  void chunk(const std::string& bytes) { send(fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes)); }
  void end_stream() { send("0\r\n\r\n"); }
  void drop() { dropped = true; }
  // Until the client has hung up or sent more.
  void wait_for_client() {
    pollfd p{fd_, POLLIN, 0};
    ::poll(&p, 1, 10'000);
  }
  bool dropped = false;

 private:
  int fd_;
};

class FakeDaemon {
 public:
  using Handler = std::function<void(const FakeRequest&, FakeConnection&)>;
  explicit FakeDaemon(Handler handler) : handler_(std::move(handler)) {
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    std::strcpy(a.sun_path, socket().c_str());
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0 || ::listen(listener_, 16) != 0) std::abort();
    acceptor_ = std::thread([this] { accept_all(); });
  }
  ~FakeDaemon() {
    ::shutdown(listener_, SHUT_RDWR);
    acceptor_.join();
    for (int fd : open_) ::shutdown(fd, SHUT_RDWR);
    for (auto& t : threads_) t.join();
    for (int fd : open_) ::close(fd);
    ::close(listener_);
  }
  std::string socket() const { return dir_.path + "/mayfly.sock"; }
  const std::string& state() const { return dir_.path; }
  // "METHOD TARGET" of all so far, in order.
  std::vector<std::string> seen() const {
    std::lock_guard lock(mutex_);
    return seen_;
  }
  std::vector<std::string> bodies() const {
    std::lock_guard lock(mutex_);
    return bodies_;
  }

 private:
  void accept_all() {
    for (;;) {
      int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      open_.push_back(fd);
      threads_.emplace_back([this, fd] { serve(fd); });
    }
  }
  void serve(int fd) {
    std::string buffer;
    for (FakeRequest request; read_request(fd, buffer, request); request = {}) {
      {
        std::lock_guard lock(mutex_);
        seen_.push_back(request.method + " " + request.target);
        bodies_.push_back(request.body);
      }
      FakeConnection connection(fd);
      handler_(request, connection);
      if (connection.dropped) break;
    }
    ::shutdown(fd, SHUT_RDWR);
  }
  static bool more(int fd, std::string& buffer) {
    char bytes[65536];
    ssize_t n = ::recv(fd, bytes, sizeof bytes, 0);
    if (n <= 0) return false;
    buffer.append(bytes, static_cast<std::size_t>(n));
    return true;
  }
  static bool take(int fd, std::string& buffer, std::size_t n, std::string& out) {
    while (buffer.size() < n)
      if (!more(fd, buffer)) return false;
    out += buffer.substr(0, n);
    buffer.erase(0, n);
    return true;
  }
  static bool read_request(int fd, std::string& buffer, FakeRequest& r) {
    while (buffer.find("\r\n\r\n") == std::string::npos)
      if (!more(fd, buffer)) return false;
    auto end = buffer.find("\r\n\r\n");
    take(fd, buffer, end + 4, r.head);
    r.method = r.head.substr(0, r.head.find(' '));
    auto from = r.method.size() + 1;
    r.target = r.head.substr(from, r.head.find(' ', from) - from);
    if (auto at = r.head.find("Content-Length: "); at != std::string::npos)
      return take(fd, buffer, std::stoul(r.head.substr(at + 16)), r.body);
    if (r.head.find("Transfer-Encoding: chunked") == std::string::npos) return true;
    for (;;) {
      while (buffer.find("\r\n") == std::string::npos)
        if (!more(fd, buffer)) return false;
      auto size = std::stoul(buffer, nullptr, 16);
      buffer.erase(0, buffer.find("\r\n") + 2);
      std::string tail;
      if (!take(fd, buffer, size, r.body) || !take(fd, buffer, 2, tail)) return false;
      if (size == 0) return true;
    }
  }

  TempDir dir_;
  Handler handler_;
  int listener_ = -1;
  std::thread acceptor_;
  std::vector<int> open_;  // closed by the destructor only, so that no number is used again while a thread has it
  std::vector<std::thread> threads_;
  mutable std::mutex mutex_;
  std::vector<std::string> seen_, bodies_;
};

// A piece of a framed log.
inline std::string frame_of(int stream, std::uint64_t offset, std::string_view bytes) {
  std::string out(16, '\0');
  out[0] = static_cast<char>(stream);
  auto n = static_cast<std::uint32_t>(bytes.size());
  std::memcpy(out.data() + 4, &n, 4);
  std::memcpy(out.data() + 8, &offset, 8);
  return out + std::string(bytes);
}

struct Ran {
  int code;
  std::string out, err;
};

inline Ran run_cli(std::vector<std::string> args, CliEnvironment environment = {}) {
  auto text = [](int fd) {
    std::string s(static_cast<std::size_t>(::lseek(fd, 0, SEEK_END)), '\0');
    if (::pread(fd, s.data(), s.size(), 0) != static_cast<ssize_t>(s.size())) std::abort();
    ::close(fd);
    return s;
  };
  environment.out = ::memfd_create("out", MFD_CLOEXEC);
  environment.err = ::memfd_create("err", MFD_CLOEXEC);
  environment.version = "1.2.3";
  int code = cli_main(args, environment);
  return {code, text(environment.out), text(environment.err)};
}

}  // namespace mayfly
