#pragma once
// Inside net/ only. One connection's bytes, plain or TLS, behind one virtual interface: the code above it is compiled
// once instead of once per transport.
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "net/task.h"

namespace mayfly::net {

class Stream {
 public:
  virtual ~Stream() = default;
  virtual Task<bool> handshake() = 0;
  // Appends what has arrived, at most 64 KiB; false: the peer closed or the connection broke. One reader at a time, but
  // beside a writer. Holds no buffer while it waits where the transport allows.
  virtual Task<bool> read(std::string& into) = 0;
  // All of it, in order; false: the connection broke. One writer at a time.
  virtual Task<bool> write(std::array<std::string_view, 3> parts) = 0;
  // Until write() would take something; for callers that send by themselves. false: the connection broke.
  virtual Task<bool> writable() = 0;
  // Says that no more bytes will come (half-close), so that the peer may read what was sent last.
  virtual void end_writing() = 0;
  // Aborts whatever waits. Idempotent.
  virtual void close() = 0;
  virtual int fd() const = 0;
};

std::unique_ptr<Stream> make_plain_stream(asio::io_context& context, Fd socket);

// A server's certificate and key; shared by its connections.
class TlsContext;
Result<std::shared_ptr<TlsContext>> make_tls_context(const std::string& certificate_file, const std::string& key_file);
std::unique_ptr<Stream> make_tls_stream(asio::io_context& context, std::shared_ptr<TlsContext> tls, Fd socket);

}  // namespace mayfly::net
