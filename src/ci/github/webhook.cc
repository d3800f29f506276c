#include "ci/github/webhook.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "base/text.h"

namespace mayfly::github {
namespace {

constexpr std::size_t max_remembered = 50'000;
constexpr auto most_skew =
    std::chrono::hours(1);  // between GitHub's clock and ours, before a notice is from the future

}  // namespace

bool signature_fits(std::string_view secret, std::string_view body, std::string_view header) {
  if (secret.empty()) return false;
  std::array<unsigned char, EVP_MAX_MD_SIZE> mac{};
  unsigned length = 0;
  auto bytes = reinterpret_cast<const unsigned char*>(body.data());
  MAYFLY_CHECK(
      HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()), bytes, body.size(), mac.data(), &length));
  auto expected = "sha256=" + to_hex({reinterpret_cast<const char*>(mac.data()), length});
  auto given = to_lower(trim(header));
  return given.size() == expected.size() && CRYPTO_memcmp(given.data(), expected.data(), expected.size()) == 0;
}

Result<std::optional<JobNotice>> read_notice(std::string_view event, std::string_view body) {
  if (event != "workflow_job") return std::nullopt;
  if (body.size() > max_notice) return fail(ErrorCode::invalid, "the body is longer than 1 MiB", "webhook");
  auto value = parse(body);
  if (!value)
    return fail(ErrorCode::invalid, "the body is not JSON", "webhook",
                "Set the webhook's content type to application/json.");
  auto *job = member_of(*value, "workflow_job"), *repository = member_of(*value, "repository");
  auto full_name = repository ? text_of(*repository, "full_name") : "";
  auto read = job ? job_from(*job, full_name) : std::nullopt;
  if (!read || full_name.empty())
    return fail(ErrorCode::invalid, "the body has no workflow_job or no repository", "webhook");
  JobNotice notice{to_lower(text_of(*value, "action")), std::move(*read)};
  static const std::set<std::string, std::less<>> known{"queued", "in_progress", "completed", "waiting"};
  if (!known.contains(notice.action)) return std::nullopt;
  return notice;
}

bool ReplayGuard::take(const std::string& delivery, Time happened, Time now) {
  while (!order_.empty() && (order_.size() >= max_remembered || order_.front().at < now - oldest_notice)) {
    seen_.erase(order_.front().delivery);
    order_.pop_front();
  }
  bool timely = happened >= now - oldest_notice && happened <= now + most_skew;
  if (delivery.empty() || delivery.size() > 100 || !timely) return false;
  if (!seen_.insert(delivery).second) return false;
  order_.push_back({delivery, now});
  return true;
}

}  // namespace mayfly::github
