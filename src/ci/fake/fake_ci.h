#pragma once
// The connector of the CI system that exists only as values.
#include "ci/fake/fake_ci_world.h"

namespace mayfly {

class FakeCi : public Ci, public CiWebhooks, public CiCancellation {
 public:
  // `secret`: what webhooks must carry in the header x-fake-secret.
  explicit FakeCi(FakeCiWorld& world, std::string secret = "hook-secret", std::string place = "ci.example")
      : world_(world), secret_(std::move(secret)), place_(std::move(place)) {}

  std::string_view kind() const override { return "fake"; }
  std::string place() const override { return place_; }
  CiRunner runner() const override { return {"exec /opt/fake-agent --once", {{"FAKE_CI_URL", "https://ci.example"}}}; }
  Result<CiSight> observe(Deadline) override { return world_.observe(); }
  Result<CiCredential> mint(const std::string& name, const CiJob& job, Deadline) override {
    return world_.mint(name, job);
  }
  Result<std::optional<CiJob>> taken(const CiRegistration& r, Deadline) override { return world_.taken(r.name); }
  Result<void> forget(const CiRegistration& r, Deadline) override { return world_.forget(r.name); }
  Result<std::vector<CiRegistration>> registrations(const std::string& prefix, Deadline) override {
    return world_.list(prefix);
  }
  CiWebhooks* webhooks() override { return this; }
  CiCancellation* cancellation() override { return this; }

  // A body is lines "ID PHASE"; x-fake-delivery names the delivery.
  std::string hook() const override { return "fake-hook"; }
  Result<CiNews> receive(const std::vector<std::pair<std::string, std::string>>& headers,
                         std::string_view body) override;
  Result<void> cancel(const std::string& job, Deadline) override { return world_.cancel(job); }

 private:
  FakeCiWorld& world_;
  std::string secret_, place_;
  std::mutex mutex_;
  std::deque<std::string> delivered_;  // the last ones
};

}  // namespace mayfly
