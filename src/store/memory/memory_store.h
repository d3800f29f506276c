#pragma once
// The store of simulations and tests: same port, same rules, nothing on disk.
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "ports/store.h"

namespace mayfly {

class MemoryStore final : public Store {
 public:
  Result<void> commit(const Batch& batch) override;
  Result<StoreSnapshot> load() override;
  Result<std::optional<Job>> job(JobId id) override;
  Result<std::optional<JobId>> job_with_key(const std::string& idempotency_key) override;
  Result<std::vector<Job>> jobs(const JobFilter& filter) override;
  Result<std::optional<Builder>> builder(const BuilderId& id) override;
  Result<std::vector<Builder>> builders(std::size_t limit) override;
  Result<std::optional<ImageBuild>> image_build(BuildId id) override;
  Result<std::vector<ImageBuild>> image_builds(const std::string& image, std::size_t limit) override;
  Result<std::vector<ImageBuild>> active_image_builds() override;
  Result<std::vector<JobId>> jobs_ended_before(Time t, std::size_t limit) override;
  Result<std::vector<LedgerEntry>> ledger(std::uint64_t from_seq, std::size_t limit,
                                          const std::string& subject) override;
  Result<LedgerCheck> verify_ledger() override;

  // While set, every commit fails with it and changes nothing: a full disk, for instance.
  void fail_commits(std::optional<Error> error);
  std::uint64_t commits() const;  // that succeeded

 private:
  using BuilderKey = std::pair<std::uint64_t, BuilderId>;  // by number, as SQLite orders them
  Result<void> check(const Batch& batch) const;
  void forget(JobId id);
  void put(const Job& job);

  mutable std::mutex mutex_;
  std::map<JobId, Job> jobs_;
  std::map<std::string, JobId> keys_;
  std::map<BuilderKey, Builder> builders_;
  std::vector<LedgerEntry> ledger_;
  std::map<std::pair<std::string, SemVer>, ImageVersion> versions_;
  std::map<PoolName, PoolVersions> pools_;
  std::map<std::tuple<std::string, SemVer, std::string>, Publication> publications_;
  std::map<BuildId, ImageBuild> image_builds_;
  JobId next_job_ = 1;
  std::uint64_t next_builder_ = 1;
  std::optional<Error> failure_;
  std::uint64_t commits_ = 0;
};

}  // namespace mayfly
