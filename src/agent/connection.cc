#include "agent/connection.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace mayfly::agent {
namespace {

constexpr std::size_t max_fds = 16;  // two messages' worth and more; what comes beyond is closed
constexpr std::size_t max_unsent =
    1U << 20;  // a daemon that does not read is dropped; it will get all in the next hello

}  // namespace

Result<std::optional<std::string>> FrameBuffer::next() {
  if (bytes_.size() < 4) return std::nullopt;
  std::uint32_t length = 0;
  for (int i = 3; i >= 0; --i) length = length << 8 | static_cast<unsigned char>(bytes_[static_cast<std::size_t>(i)]);
  if (length > max_frame)
    return fail(ErrorCode::invalid, "a frame of " + std::to_string(length) + " bytes", "agent protocol");
  if (bytes_.size() - 4 < length) return std::nullopt;
  std::string frame = bytes_.substr(4, length);
  bytes_.erase(0, 4 + std::size_t{length});
  return frame;
}

Connection::Connection(Fd listener) : listener_(std::move(listener)) {
  ::fcntl(listener_.get(), F_SETFL, ::fcntl(listener_.get(), F_GETFL) | O_NONBLOCK);
}

void Connection::add_interest(std::vector<pollfd>& fds) const {
  fds.push_back({listener_.get(), POLLIN, 0});
  if (peer_) fds.push_back({peer_.get(), static_cast<short>(POLLIN | (out_.empty() ? 0 : POLLOUT)), 0});
}

bool Connection::accept_ready() {
  bool fresh = false;
  for (;;) {
    Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return fresh;
    drop();
    peer_ = std::move(fd);
    fresh = true;
  }
}

void Connection::drop() {
  peer_.reset();
  in_ = {};
  fds_.clear();
  out_.clear();
}

void Connection::peer_ready(const pollfd& fd) {
  if (!peer_ || fd.fd != peer_.get() || fd.revents == 0) return;
  if ((fd.revents & POLLOUT) != 0) flush();
  if (!peer_ || (fd.revents & ~POLLOUT) == 0) return;
  receive();  // once: messages are served in between, so that descriptors and bytes stay in step
}

void Connection::receive() {
  char bytes[64 << 10];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 16)];
  iovec piece{bytes, sizeof bytes};
  msghdr m{};
  m.msg_iov = &piece;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = sizeof control;
  auto n = ::recvmsg(peer_.get(), &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  for (auto* c = n > 0 ? CMSG_FIRSTHDR(&m) : nullptr; c != nullptr; c = CMSG_NXTHDR(&m, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    for (std::size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof fd);
      Fd owned(fd);
      if (fds_.size() < max_fds) fds_.push_back(std::move(owned));
    }
  }
  if (n <= 0) {
    // What had come whole still counts: next() serves it even though the peer is gone.
    peer_.reset();
    out_.clear();
    return;
  }
  in_.add({bytes, static_cast<std::size_t>(n)});
}

std::optional<Result<ToAgent>> Connection::next() {
  auto frame = in_.next();
  if (!frame)
    drop();  // no way to find the next frame
  else if (*frame)
    return decode_to_agent(**frame);
  else if (!peer_)
    drop();  // gone in the middle of a message
  return std::nullopt;
}

std::vector<Fd> Connection::take_fds(std::size_t count) {
  std::vector<Fd> out;
  while (fds_.size() >= count && out.size() < count) out.push_back(std::move(fds_[out.size()]));
  if (out.size() < count)
    fds_.clear();  // out of step: what is there belongs to nothing
  else
    fds_.erase(fds_.begin(), fds_.begin() + static_cast<std::ptrdiff_t>(count));
  return out;
}

void Connection::send(const FromAgent& message) {
  if (!peer_) return;
  out_ += frame(encode(message));
  if (out_.size() > max_unsent) return drop();
  flush();
}

void Connection::flush() {
  while (!out_.empty()) {
    auto n = ::send(peer_.get(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) return peer_.reset(), out_.clear();
    out_.erase(0, static_cast<std::size_t>(n));
  }
}

}  // namespace mayfly::agent
