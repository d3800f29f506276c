#pragma once
// The queue of an agent pool of Azure DevOps, of the service or of a server of one's own. See docs/azure-devops.md.
//
// Each builder is an agent of its own: registered here, with a key made here, so that the builder holds nothing but
// that agent's identity, and never the right to register others. The service assigns any job to any agent that meets
// its demands, so which job a builder was started for says little; taken() asks.
//
// An agent of `run.sh --once` can be assigned a second job before it has gone, which then is lost
// (microsoft/azure-pipelines-agent#2332): so as soon as one is seen running, its agent is disabled, which keeps the
// service from assigning more to it; a second job that came all the same is reported, and keeps its registration for a
// while so that the service can take it back.
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "base/log.h"
#include "ci/azure_devops/account.h"
#include "ci/azure_devops/client.h"
#include "ci/azure_devops/replies.h"
#include "ports/ci.h"
#include "ports/secret_store.h"

namespace mayfly::azure_devops {

inline constexpr Duration usual_pause = seconds(5);         // between two looks at the queue
inline constexpr Duration careful_pause = seconds(30);      // when the service's limit is near
inline constexpr Duration second_job_grace = seconds(300);  // for which a registration with a second job is kept

class AzureDevOps final : public Ci, public CiCommitStatuses {
 public:
  // `secrets` and `log` outlive it.
  AzureDevOps(Account account, SecretStore& secrets, const Log& log);

  std::string_view kind() const override { return "azure-devops"; }
  std::string place() const override;
  std::string connection() const override;
  CiRunner runner() const override;
  Result<CiSight> observe(Deadline deadline) override;
  Result<CiCredential> mint(const std::string& name, const CiJob& job, Deadline deadline) override;
  Result<std::optional<CiJob>> taken(const CiRegistration& registration, Deadline deadline) override;
  Result<void> forget(const CiRegistration& registration, Deadline deadline) override;
  Result<std::vector<CiRegistration>> registrations(const std::string& prefix, Deadline deadline) override;
  void abandon() override { client_.abandon(); }
  CiCommitStatuses* commit_statuses() override { return this; }
  // azure_devops_statuses.cc
  Result<void> set_status(const CommitStatus& status, Deadline deadline) override;

 private:
  Result<Pool> pool(Deadline deadline);
  Result<std::string> agents_path(Deadline deadline);
  Result<JobRequests> requests(const std::string& query, Deadline deadline);
  Result<std::vector<Agent>> list_agents(const std::string& query, Deadline deadline);
  Result<std::optional<Agent>> agent_named(const std::string& name, Deadline deadline);
  Result<std::optional<Agent>> find_agent(const CiRegistration& registration, Deadline deadline);
  Result<Agent> register_agent(const std::string& name, const std::string& version, const struct AgentKey* key,
                               Deadline deadline);
  Result<Agent> register_anew(const std::string& name, const struct AgentKey& key, Deadline deadline);
  Result<void> set_capabilities(std::int64_t agent, Deadline deadline);
  Result<void> remove_agent(std::int64_t id, Deadline deadline);
  Result<CiCredential> fall_back(const std::string& name, const Error& why);
  Result<void> keep_placeholder(Deadline deadline);

  bool ours(const std::string& agent) const;
  bool serves(const JobRequest& request) const;
  std::optional<CiJob> as_seen(const JobRequest& request);
  void protect(const std::vector<JobRequest>& running, Deadline deadline);
  void equip(Deadline deadline);
  void note_second_job(const std::string& agent, const JobRequest& second);
  std::string notice(const Pool& pool, const JobRequests& seen) const;

  Client client_;
  const Log& log_;
  mutable std::mutex mutex_;
  std::optional<Pool> pool_;
  Deadline pool_until_{};         // then its settings are asked for again
  Deadline placeholder_until_{};  // then it is looked for again
  std::string placeholder_problem_;
  std::string prefix_;                             // of the names that control gives; empty until it said
  std::set<std::string> minted_;                   // names, until forgotten
  std::set<std::string> disabled_;                 // agents that get no more jobs
  std::set<std::string> bare_;                     // that register themselves, and have not got our capabilities yet
  std::map<std::string, std::int64_t> first_job_;  // agent → the request that it began
  struct SecondJob {
    std::int64_t request = 0;
    Deadline since{};
  };
  std::map<std::string, SecondJob> second_job_;  // agent → what it was given on top
};

}  // namespace mayfly::azure_devops
