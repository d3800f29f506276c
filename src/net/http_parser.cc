#include "net/http_parser.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include "base/text.h"

namespace mayfly::net {

namespace http = boost::beast::http;
using boost::beast::error_code;
using boost::beast::string_view;

class HttpParser::Impl final : public http::basic_parser<true> {
 public:
  HttpHead head;
  std::function<bool(std::string_view)> sink;

 private:
  void on_request_impl(http::verb, string_view method, string_view target, int version, error_code&) override {
    head.method = std::string(method);
    head.target = std::string(target);
    head.http10 = version == 10;
  }
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_field_impl(http::field, string_view name, string_view value, error_code& ec) override {
    // Trailers of a chunked body arrive here too, and must not pass for headers.
    if (is_header_done()) return;
    if (head.headers.size() >= 256) {
      ec = http::error::header_limit;
      return;
    }
    head.headers.emplace_back(to_lower(name), std::string(value));
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  std::size_t on_body_impl(string_view body, error_code& ec) override { return take(body, ec); }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code& ec) override { return take(body, ec); }
  void on_finish_impl(error_code&) override {}

  std::size_t take(string_view body, error_code& ec) {
    if (sink && !sink({body.data(), body.size()})) ec = http::error::body_limit;
    return body.size();
  }
};

HttpParser::HttpParser(std::uint32_t header_limit) : impl_(std::make_unique<Impl>()) {
  impl_->header_limit(header_limit);
  impl_->body_limit(boost::none);  // the server has limits of its own, one per kind of body
  impl_->eager(false);
}
HttpParser::~HttpParser() = default;

Result<std::size_t> HttpParser::feed(std::string_view bytes) {
  std::size_t used = 0;
  bool had_header = impl_->is_header_done();
  impl_->eager(had_header);
  while (used < bytes.size() && !impl_->is_done()) {
    error_code ec;
    std::size_t n = impl_->put(boost::asio::buffer(bytes.data() + used, bytes.size() - used), ec);
    used += n;
    if (ec == http::error::need_more) break;
    if (ec == http::error::header_limit) header_too_large_ = true;
    if (ec) return fail(ErrorCode::invalid, "not a valid HTTP/1.1 request: " + ec.message(), "request");
    if (n == 0 || (!had_header && impl_->is_header_done())) break;
  }
  return used;
}

bool HttpParser::header_done() const { return impl_->is_header_done(); }
bool HttpParser::done() const { return impl_->is_done(); }
bool HttpParser::keep_alive() const { return impl_->keep_alive(); }
std::optional<std::uint64_t> HttpParser::content_length() const {
  if (auto n = impl_->content_length()) return *n;
  return std::nullopt;
}
HttpHead& HttpParser::head() { return impl_->head; }
void HttpParser::on_body(std::function<bool(std::string_view)> sink) { impl_->sink = std::move(sink); }

}  // namespace mayfly::net
