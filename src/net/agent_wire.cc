#include "net/agent_wire.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "net/unix_path.h"

namespace mayfly::net {

Result<Fd> connect_unix(const std::string& path) {
  MAYFLY_ASSIGN(auto address, unix_path(path));
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Unexpected(errno_error("cannot make a socket", errno));
  // On a unix socket this is done at once or not at all; EAGAIN says that the listener's queue is full.
  if (::connect(fd.get(), address.get(), UnixPath::size) != 0)
    return Unexpected(errno_error("cannot connect to the agent", errno, path));
  return fd;
}

Result<std::vector<Fd>> open_order_files(const AgentOrder& order) {
  struct Wanted {
    const std::string& path;
    int flags;
  };
  std::vector<Wanted> wanted{{order.log_path, O_WRONLY | O_CREAT | O_APPEND},
                             {order.index_path, O_WRONLY | O_CREAT | O_APPEND},
                             {order.result_path, O_WRONLY | O_CREAT}};
  if (!order.input_path.empty()) wanted.push_back({order.input_path, O_RDONLY});
  if (!order.output_path.empty()) wanted.push_back({order.output_path, O_WRONLY | O_CREAT});
  std::vector<Fd> fds;
  for (const auto& w : wanted) {
    Fd fd(::open(w.path.c_str(), w.flags | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600));
    if (!fd) return Unexpected(errno_error("cannot open a file of the job", errno, w.path));
    fds.push_back(std::move(fd));
  }
  return fds;
}

Result<std::size_t> send_with_fds(int socket, std::string_view bytes, const std::vector<Fd>& fds) {
  MAYFLY_CHECK(fds.size() <= 5);
  iovec io{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(5 * sizeof(int))] = {};
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    auto* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    for (std::size_t i = 0; i < fds.size(); ++i) {
      int fd = fds[i].get();
      std::memcpy(CMSG_DATA(header) + i * sizeof(int), &fd, sizeof fd);
    }
  }
  for (;;) {
    ssize_t n = ::sendmsg(socket, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) return static_cast<std::size_t>(n);
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    return Unexpected(errno_error("cannot send to the agent", errno));
  }
}

Result<std::optional<std::string>> FrameReader::next() {
  if (buffer_.size() < 4) return std::nullopt;
  std::uint32_t size = 0;
  for (int i = 3; i >= 0; --i) size = size << 8 | static_cast<unsigned char>(buffer_[static_cast<std::size_t>(i)]);
  if (size > agent::max_frame)
    return fail(ErrorCode::invalid,
                fmt::format("a frame of {} bytes is larger than the limit of {}", size, agent::max_frame),
                "agent message");
  if (buffer_.size() - 4 < size) return std::nullopt;
  auto text = buffer_.substr(4, size);
  buffer_.erase(0, 4 + size);
  return text;
}

}  // namespace mayfly::net
