#pragma once
// Reports as signed POSTs. A receiver checks X-Mayfly-Signature-256, "sha256=" and 64 hex digits: HMAC-SHA256 of the
// body's bytes with the shared key, as GitHub's webhooks have it.
#include <string>
#include <string_view>

#include "ports/reporter.h"
#include "ports/secret_store.h"

namespace mayfly::images {

std::string body_signature(std::string_view key, std::string_view body);

class ReportWebhook final : public Reporter {
 public:
  explicit ReportWebhook(SecretStore& secrets) : secrets_(secrets) {}  // outlives it
  Result<void> tell(const Report& report) override;

 private:
  SecretStore& secrets_;
};

}  // namespace mayfly::images
