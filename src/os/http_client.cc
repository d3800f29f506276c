#include "os/http_client.h"

#include <fmt/format.h>

#include <algorithm>

#include "os/http_transport.h"

namespace mayfly {

HttpClient::HttpClient(HttpServer server)
    : server_(std::move(server)),
      transport_(server_.unix_socket.empty() ? make_curl_transport(server_) : make_unix_transport(server_)) {}
HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;

Result<void> check_headers(const HttpRequest& request) {
  auto control = [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; };
  for (const auto& [name, value] : request.headers)
    if (name.empty() || std::any_of(name.begin(), name.end(), control) ||
        std::any_of(value.begin(), value.end(), control))
      return fail(ErrorCode::invalid, fmt::format("the header {} has a line break or a control character", name),
                  request.path, "If it holds a secret, look for a stray line end in the secret's value.");
  return {};
}

Result<HttpAnswer> HttpClient::request(const HttpRequest& request) {
  MAYFLY_TRY(check_headers(request));
  return transport_->exchange(request, nullptr);
}

Result<HttpAnswer> HttpClient::stream(const HttpRequest& request, const HttpStream& stream) {
  MAYFLY_TRY(check_headers(request));
  return transport_->exchange(request, &stream);
}

Result<HttpAnswer> HttpClient::request(const HttpRequest& request, const os::StopSignal& stop) {
  auto given_up = [&] { return fail(ErrorCode::unavailable, "given up: the daemon ends", server_.name()); };
  if (stop.raised()) return given_up();
  HttpStream watch;
  watch.on_wake = [&stop] { return !stop.raised(); };
  watch.wake_fd = stop.fd();
  auto answer = stream(request, watch);
  if (answer && answer->stopped) return given_up();
  return answer;
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
