#pragma once
// HTTP/1.1 on a unix socket and, when configured, on TCP with TLS. One event-loop thread serves all; handlers run on it
// and must not block.
#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "base/log.h"
#include "net/http.h"
#include "tl/expected.hpp"

namespace mayfly::net {

struct ServerOptions {
  std::string socket_path;  // empty: none
  unsigned socket_mode = 0600;
  std::string listen;  // "HOST:PORT", "[::]:PORT"; port 0 takes a free one; empty: none
  std::string tls_certificate, tls_key;

  std::size_t max_connections = 10'000;
  std::uint32_t max_header = 64 << 10;
  Duration header_timeout =
      seconds(10);                      // from a request's first byte to the end of its header; also the TLS handshake
  Duration body_timeout = seconds(30);  // between two pieces of a body
  Duration idle_timeout = seconds(75);  // between two requests of a connection
  Duration write_timeout =
      seconds(60);  // without progress of an answer; log streams may be paused for as long as they like
};

// Counters to look at from any thread.
struct ServerStats {
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::int64_t> connections{0};
  std::atomic<std::int64_t> log_streams{0};
  std::atomic<std::int64_t> buffered{0};  // bytes of logs and files read but not yet taken by the sockets
  std::atomic<std::int64_t> buffered_peak{0};
};

using Admit = std::function<tl::expected<Admission, Refusal>(const Request& head)>;
using Handler = std::function<void(Request, std::shared_ptr<Reply>)>;

class Server {
 public:
  // Binds, and serves until destroyed. A socket that another process still answers on is a conflict; a stale one is
  // replaced.
  static Result<std::unique_ptr<Server>> start(ServerOptions options, Admit admit, Handler handler, const Log& log);
  ~Server();  // ends all connections; replies given later are dropped

  const ServerStats& stats() const;
  int tcp_port() const;  // 0: no TCP

 private:
  class Impl;
  explicit Server(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace mayfly::net
