#include "images/report_webhook.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include <fmt/format.h>

#include "base/text.h"
#include "os/http_client.h"

namespace mayfly::images {

std::string body_signature(std::string_view key, std::string_view body) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned length = 0;
  auto bytes = reinterpret_cast<const unsigned char*>(body.data());
  MAYFLY_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), bytes, body.size(), mac.data(), &length));
  return "sha256=" + to_hex({reinterpret_cast<const char*>(mac.data()), length});
}

Result<void> ReportWebhook::tell(const Report& report) {
  auto key = secrets_.get(report.to.secret);
  if (!key) return fail(ErrorCode::unavailable, key.error().what, "report.secret", key.error().next);
  if (key->empty()) return fail(ErrorCode::invalid, "the key that signs reports is empty", "report.secret");
  const auto& url = report.to.url;
  auto path = url.find('/', url.find("://") + 3);
  HttpClient client({.url = url.substr(0, path)});
  HttpRequest request{
      .method = "POST", .path = path == std::string::npos ? "/" : url.substr(path), .body = report.body};
  request.headers = {{"X-Mayfly-Event", report.event},
                     {"X-Mayfly-Delivery", report.delivery},
                     {"X-Mayfly-Signature-256", body_signature(*key, report.body)}};
  request.timeout = report.to.timeout;
  request.limit = 64u << 10;
  MAYFLY_ASSIGN(auto answer, client.request(request));
  if (answer.status >= 200 && answer.status < 300) return {};
  bool may_pass = answer.status >= 500 || answer.status == 408 || answer.status == 425 || answer.status == 429;
  return fail(may_pass ? ErrorCode::unavailable : ErrorCode::denied,
              fmt::format("the receiver of reports answered {}", answer.status), client.server().url,
              may_pass ? "" : "See that it takes signed POSTs at the `url:` under `report:`, and knows the same key.");
}

}  // namespace mayfly::images
