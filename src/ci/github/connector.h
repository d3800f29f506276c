#pragma once
// GitHub Actions behind the port: one Connector for each pool, with what pools of one account share behind it.
#include <map>
#include <memory>
#include <mutex>

#include "ci/github/commit_status.h"
#include "ci/github/deliveries.h"
#include "ci/github/queue.h"
#include "ci/github/runners.h"
#include "ci/github/settings.h"
#include "ci/github/webhook.h"
#include "ports/ci.h"
#include "ports/secret_store.h"

namespace mayfly::github {

class Connector final : public Ci, public CiWebhooks, public CiCommitStatuses {
 public:
  // `secrets` and `clock` outlive it.
  Connector(Settings settings, std::shared_ptr<Api> api, std::shared_ptr<Queue> queue, SecretStore& secrets,
            const Clock& clock);

  std::string_view kind() const override { return "github"; }
  std::string place() const override;
  std::string connection() const override { return settings_.account(); }
  CiRunner runner() const override;
  Result<CiSight> observe(Deadline deadline) override;
  Result<CiCredential> mint(const std::string& name, const CiJob& job, Deadline deadline) override;
  Result<std::optional<CiJob>> taken(const CiRegistration& registration, Deadline deadline) override;
  Result<void> forget(const CiRegistration& registration, Deadline deadline) override;
  Result<std::vector<CiRegistration>> registrations(const std::string& prefix, Deadline deadline) override;
  void abandon() override { api_->abandon(); }
  CiCommitStatuses* commit_statuses() override { return this; }
  CiWebhooks* webhooks() override { return settings_.webhook_secret.empty() ? nullptr : this; }

  std::string hook() const override;
  Result<CiNews> receive(const std::vector<std::pair<std::string, std::string>>& headers,
                         std::string_view body) override;
  Result<void> set_status(const CommitStatus& status, Deadline deadline) override {
    return set_commit_status(*api_, status, deadline);
  }

 private:
  CiSight throttled(CiSight sight);

  const Settings settings_;
  const std::vector<std::string> labels_;  // with the ones that every runner has
  const std::shared_ptr<Api> api_;
  const std::shared_ptr<Queue> queue_;
  SecretStore& secrets_;
  Runners runners_;
  std::uint64_t seen_ = 0;  // the last look of the queue; observe() does not overlap itself
  Redelivery redelivery_;   // likewise
  std::mutex mutex_;        // what follows
  ReplayGuard replays_;
};

// Makes connectors, and has pools share what they can. One thread; what it made may outlive it.
class Connectors {
 public:
  Connectors(SecretStore& secrets, const Clock& clock) : secrets_(secrets), clock_(clock) {}
  // invalid: the settings are wrong; `where` names the key.
  Result<std::unique_ptr<Ci>> make(const std::map<std::string, std::string>& settings);

 private:
  SecretStore& secrets_;
  const Clock& clock_;
  std::map<std::string, std::weak_ptr<Api>> apis_;  // for as long as a connector has them
  std::map<std::string, std::weak_ptr<Queue>> queues_;
};

// A job as the port has it.
CiJob to_ci_job(const WorkflowJob& job);

}  // namespace mayfly::github
