#include "os/http_client.h"

#include "os/http_transport.h"

namespace mayfly {

HttpClient::HttpClient(HttpServer server)
    : server_(std::move(server)),
      transport_(server_.unix_socket.empty() ? make_curl_transport(server_) : make_unix_transport(server_)) {}
HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;

Result<HttpAnswer> HttpClient::request(const HttpRequest& request) { return transport_->exchange(request, nullptr); }

Result<HttpAnswer> HttpClient::stream(const HttpRequest& request, const HttpStream& stream) {
  return transport_->exchange(request, &stream);
}

bool HttpClient::connected() const { return transport_->connected; }

std::string url_encode(std::string_view text) {
  std::string out;
  for (unsigned char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                 c == '_' || c == '~';
    if (plain) {
      out += static_cast<char>(c);
    } else {
      out += '%';
      out += "0123456789ABCDEF"[c >> 4];
      out += "0123456789ABCDEF"[c & 15];
    }
  }
  return out;
}

}  // namespace mayfly
