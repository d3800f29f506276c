#include "net/server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <future>
#include <map>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

#include <fcntl.h>
#include <fmt/format.h>

#include "net/connection.h"
#include "net/unix_path.h"

namespace mayfly::net {
namespace {

constexpr int backlog = 4096;

Result<Fd> listen_unix(const std::string& path, unsigned mode) {
  MAYFLY_ASSIGN(auto address, unix_path(path));
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Unexpected(errno_error("cannot make a socket", errno, path));
  if (::connect(fd.get(), address.get(), UnixPath::size) == 0 || errno == EAGAIN)
    return fail(ErrorCode::conflict, "another process answers on this socket", path,
                "Stop it, or use another state directory.");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT)
    return Unexpected(errno_error("cannot replace the stale socket", errno, path));
  fd = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // Before bind: the socket must not be open to others even for the moment until a chmod.
  if (::fchmod(fd.get(), mode) != 0 || ::bind(fd.get(), address.get(), UnixPath::size) != 0)
    return Unexpected(errno_error("cannot bind the socket", errno, path));
  if (::chmod(path.c_str(), mode) != 0 || ::listen(fd.get(), backlog) != 0)
    return Unexpected(errno_error("cannot listen", errno, path));
  return fd;
}

Result<std::pair<std::string, std::string>> host_and_port(const std::string& listen) {
  auto colon = listen.rfind(':');
  if (colon == std::string::npos || colon + 1 == listen.size())
    return fail(ErrorCode::invalid, "not HOST:PORT", listen, "Write for example 127.0.0.1:8443 or [::]:8443.");
  auto host = listen.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return std::pair(host, listen.substr(colon + 1));
}

Result<Fd> listen_tcp(const std::string& listen) {
  MAYFLY_ASSIGN(auto at, host_and_port(listen));
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  if (int e = ::getaddrinfo(at.first.empty() ? nullptr : at.first.c_str(), at.second.c_str(), &hints, &found); e != 0)
    return fail(ErrorCode::invalid, fmt::format("cannot listen there: {}", ::gai_strerror(e)), listen);
  std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, ::freeaddrinfo);
  Fd fd(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  int yes = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(fd.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(fd.get(), backlog) != 0)
    return Unexpected(errno_error("cannot listen", errno, listen));
  return fd;
}

int bound_port(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  return address.ss_family == AF_INET6 ? ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port) : 0;
}

Result<Peer> unix_peer(int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
    return Unexpected(errno_error("the kernel does not say who connected", errno));
  Peer peer;
  peer.uid = credentials.uid;
  return peer;
}

Peer tcp_peer(int fd) {
  Peer peer;
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  char host[NI_MAXHOST], port[NI_MAXSERV];
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
      ::getnameinfo(reinterpret_cast<sockaddr*>(&address), size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
    peer.address = fmt::format("{}:{}", host, port);
  int yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
  return peer;
}

}  // namespace

class Server::Impl : public std::enable_shared_from_this<Server::Impl> {
 public:
  Impl(std::shared_ptr<ServerCore> c) : core(std::move(c)), unix_(core->loop.context()), tcp_(core->loop.context()) {}

  Result<void> open() {
    const auto& o = core->options;
    if (!o.listen.empty()) {
      MAYFLY_ASSIGN(tls, make_tls_context(o.tls_certificate, o.tls_key));
      MAYFLY_ASSIGN(auto fd, listen_tcp(o.listen));
      port = bound_port(fd.get());
      tcp_.assign(fd.release());
    }
    if (!o.socket_path.empty()) {
      MAYFLY_ASSIGN(auto fd, listen_unix(o.socket_path, o.socket_mode));
      unix_.assign(fd.release());
    }
    spare_ = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    for (auto* listener : {&unix_, &tcp_}) {
      if (listener->is_open())
        asio::co_spawn(
            core->loop.context(), [self = shared_from_this(), listener] { return self->accept_on(*listener); },
            asio::detached);
    }
    core->loop.start();
    return {};
  }

  void close() {
    std::promise<void> done;
    core->loop.post([&] {
      error_code ignored;
      unix_.close(ignored);
      tcp_.close(ignored);
      core->files.close();
      for (auto& [key, weak] : connections_)
        if (auto connection = weak.lock()) connection->stop();
      done.set_value();
    });
    done.get_future().wait();
    core->loop.finish();
    if (!core->options.socket_path.empty()) ::unlink(core->options.socket_path.c_str());
  }

  std::shared_ptr<ServerCore> core;
  std::shared_ptr<TlsContext> tls;
  int port = 0;

 private:
  using Listener = asio::posix::stream_descriptor;

  Task<void> accept_on(Listener& listener) {
    while (listener.is_open()) {
      auto [ec] = co_await listener.async_wait(Listener::wait_read, use_task);
      if (ec) co_return;
      for (int i = 0; i < 64 && accept_one(listener); ++i) {  // then the others' turn
      }
    }
  }

  bool accept_one(Listener& listener) {
    Fd fd(::accept4(listener.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) {
      if (errno != EMFILE && errno != ENFILE) return errno == EINTR || errno == ECONNABORTED;
      // Out of descriptors: the pending client would make the loop spin. The spare one lets it be told so.
      spare_.reset();
      fd = Fd(::accept4(listener.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (fd) turn_away(fd, &listener == &tcp_);
      fd.reset();
      spare_ = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      return false;
    }
    bool is_tcp = &listener == &tcp_;
    if (static_cast<std::size_t>(core->stats.connections) >= core->options.max_connections) {
      turn_away(fd, is_tcp);
      return true;
    }
    auto peer = is_tcp ? Result<Peer>(tcp_peer(fd.get())) : unix_peer(fd.get());
    if (!peer) return true;
    auto stream = is_tcp ? make_tls_stream(core->loop.context(), tls, std::move(fd))
                         : make_plain_stream(core->loop.context(), std::move(fd));
    auto connection = std::make_shared<Connection>(core, std::move(stream), std::move(*peer));
    remember(connection);
    connection->start();
    return true;
  }

  void turn_away(const Fd& fd, bool is_tcp) {
    if (is_tcp) return;  // a client that speaks TLS could not read it
    Error e{ErrorCode::unavailable,
            fmt::format("{} connections are open, the limit here", core->stats.connections.load()), "server",
            "Close some, or try again later."};
    auto body = error_body(e);
    auto text = fmt::format(
        "HTTP/1.1 503 {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nRetry-After: 1\r\n"
        "Connection: close\r\n\r\n{}",
        http_reason(503), body.size(), body);
    [[maybe_unused]] auto n = ::send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    ::shutdown(fd.get(), SHUT_WR);
  }

  void remember(const std::shared_ptr<Connection>& connection) {
    connections_[connection.get()] = connection;
    if (connections_.size() < 2 * static_cast<std::size_t>(core->stats.connections) + 64) return;
    std::erase_if(connections_, [](const auto& entry) { return entry.second.expired(); });
  }

  Listener unix_, tcp_;
  Fd spare_;
  std::map<Connection*, std::weak_ptr<Connection>> connections_;
};

Result<std::unique_ptr<Server>> Server::start(ServerOptions options, Admit admit, Handler handler, const Log& log) {
  auto core = std::make_shared<ServerCore>(std::move(options), std::move(admit), std::move(handler), log);
  auto impl = std::make_shared<Impl>(core);
  MAYFLY_TRY(impl->open());
  return std::unique_ptr<Server>(new Server(impl));
}

Server::Server(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Server::~Server() { impl_->close(); }
const ServerStats& Server::stats() const { return impl_->core->stats; }
int Server::tcp_port() const { return impl_->port; }

}  // namespace mayfly::net
