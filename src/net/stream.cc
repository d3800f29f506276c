#include "net/stream.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>

#include <boost/asio/posix/stream_descriptor.hpp>

namespace mayfly::net {
namespace {

constexpr std::size_t read_chunk = 64 << 10;

class PlainStream final : public Stream {
 public:
  PlainStream(asio::io_context& context, Fd socket) : socket_(context, socket.release()) {
    error_code ignored;
    socket_.native_non_blocking(true, ignored);
  }

  Task<bool> handshake() override { co_return true; }

  Task<bool> read(std::string& into) override {
    // One buffer for all connections of this thread: an idle connection costs none.
    static thread_local std::array<char, read_chunk> scratch;
    for (;;) {
      if (!socket_.is_open()) co_return false;
      ssize_t n = ::recv(socket_.native_handle(), scratch.data(), scratch.size(), MSG_DONTWAIT);
      if (n > 0) {
        into.append(scratch.data(), static_cast<std::size_t>(n));
        co_return true;
      }
      if (n == 0) co_return false;
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) co_return false;
      auto [ec] = co_await socket_.async_wait(asio::posix::stream_descriptor::wait_read, use_task);
      if (ec) co_return false;
    }
  }

  Task<bool> write(std::array<std::string_view, 3> parts) override {
    for (;;) {
      std::array<iovec, 3> io{};
      std::size_t count = 0;
      for (auto part : parts)
        if (!part.empty()) io[count++] = {const_cast<char*>(part.data()), part.size()};
      if (count == 0) co_return true;
      if (!socket_.is_open()) co_return false;
      msghdr message{};
      message.msg_iov = io.data();
      message.msg_iovlen = count;
      ssize_t n = ::sendmsg(socket_.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) co_return false;
      if (n < 0) {
        auto [ec] = co_await socket_.async_wait(asio::posix::stream_descriptor::wait_write, use_task);
        if (ec) co_return false;
        continue;
      }
      auto sent = static_cast<std::size_t>(n);
      for (auto& part : parts) {
        std::size_t now = std::min(sent, part.size());
        part.remove_prefix(now);
        sent -= now;
      }
    }
  }

  Task<bool> writable() override {
    auto [ec] = co_await socket_.async_wait(asio::posix::stream_descriptor::wait_write, use_task);
    co_return !ec;
  }
  void end_writing() override {
    if (socket_.is_open()) ::shutdown(socket_.native_handle(), SHUT_WR);
  }
  void close() override {
    error_code ignored;
    socket_.close(ignored);
  }
  int fd() const override { return const_cast<asio::posix::stream_descriptor&>(socket_).native_handle(); }

 private:
  asio::posix::stream_descriptor socket_;
};

}  // namespace

std::unique_ptr<Stream> make_plain_stream(asio::io_context& context, Fd socket) {
  return std::make_unique<PlainStream>(context, std::move(socket));
}

}  // namespace mayfly::net
