#include <openssl/err.h>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>

#include "net/stream.h"

namespace mayfly::net {

namespace ssl = asio::ssl;

class TlsContext {
 public:
  ssl::context context{ssl::context::tls_server};
};

Result<std::shared_ptr<TlsContext>> make_tls_context(const std::string& certificate_file, const std::string& key_file) {
  auto tls = std::make_shared<TlsContext>();
  error_code ec;
  tls->context.set_options(ssl::context::default_workarounds | ssl::context::no_sslv2 | ssl::context::no_sslv3 |
                               ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1 | SSL_OP_NO_RENEGOTIATION,
                           ec);
  // Idle connections give their 34 KiB of record buffers back.
  SSL_CTX_set_mode(tls->context.native_handle(), SSL_MODE_RELEASE_BUFFERS);
  tls->context.use_certificate_chain_file(certificate_file, ec);
  if (ec)
    return fail(ErrorCode::invalid, "cannot use the TLS certificate: " + ec.message(), certificate_file,
                "It must be a PEM file, the server's certificate first.");
  tls->context.use_private_key_file(key_file, ssl::context::pem, ec);
  if (ec)
    return fail(ErrorCode::invalid, "cannot use the TLS key: " + ec.message(), key_file,
                "It must be the PEM file of the certificate's own private key.");
  return tls;
}

namespace {

class TlsStream final : public Stream {
 public:
  TlsStream(asio::io_context& context, std::shared_ptr<TlsContext> tls, Fd socket, int family)
      : tls_(std::move(tls)),
        stream_(asio::generic::stream_protocol::socket(context, asio::generic::stream_protocol(family, 0),
                                                       socket.release()),
                tls_->context) {}

  Task<bool> handshake() override {
    auto [ec] = co_await stream_.async_handshake(ssl::stream_base::server, use_task);
    co_return !ec;
  }
  Task<bool> read(std::string& into) override {
    auto [ec, n] = co_await stream_.async_read_some(asio::buffer(buffer_), use_task);
    if (ec) co_return false;
    into.append(buffer_.data(), n);
    co_return true;
  }
  Task<bool> write(std::array<std::string_view, 3> parts) override {
    // One TLS record for a small answer instead of three.
    std::string joined;
    if (parts[0].size() + parts[1].size() + parts[2].size() <= 8192) {
      for (auto p : parts) joined += p;
      parts = {joined, {}, {}};
    }
    for (auto part : parts) {
      if (part.empty()) continue;
      auto [ec, n] = co_await asio::async_write(stream_, asio::buffer(part.data(), part.size()), use_task);
      if (ec) co_return false;
    }
    co_return true;
  }
  Task<bool> writable() override { co_return stream_.next_layer().is_open(); }
  void end_writing() override { ::shutdown(fd(), SHUT_WR); }
  void close() override {
    error_code ignored;
    stream_.next_layer().close(ignored);
  }
  int fd() const override { return const_cast<Socket&>(stream_.next_layer()).native_handle(); }

 private:
  using Socket = asio::generic::stream_protocol::socket;
  std::shared_ptr<TlsContext> tls_;
  ssl::stream<Socket> stream_;
  std::array<char, 16 << 10> buffer_;
};

}  // namespace

std::unique_ptr<Stream> make_tls_stream(asio::io_context& context, std::shared_ptr<TlsContext> tls, Fd socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return std::make_unique<TlsStream>(context, std::move(tls), std::move(socket), address.ss_family);
}

}  // namespace mayfly::net
