#pragma once
// A store that watches what is committed: every row must follow lawfully from the one before, and the ledger must tell
// the same story. It also keeps what was written, by itself, so that a store that forgets is found.
#include <map>
#include <memory>
#include <set>
#include <string>

#include "ports/store.h"
#include "tests/simulation/land.h"

namespace mayfly::sim {

class RecordingStore final : public Store {
 public:
  RecordingStore(Land& land, std::function<std::unique_ptr<Store>()> open) : land_(land), open_(std::move(open)) {
    reopen();
  }

  Result<void> commit(const Batch& batch) override;
  Result<StoreSnapshot> load() override;
  Result<std::optional<Job>> job(JobId id) override { return inner_->job(id); }
  Result<std::optional<JobId>> job_with_key(const std::string& key) override { return inner_->job_with_key(key); }
  Result<std::vector<Job>> jobs(const JobFilter& filter) override { return inner_->jobs(filter); }
  Result<std::optional<Builder>> builder(const BuilderId& id) override { return inner_->builder(id); }
  Result<std::vector<Builder>> builders(std::size_t limit) override { return inner_->builders(limit); }
  Result<std::optional<ImageBuild>> image_build(BuildId id) override { return inner_->image_build(id); }
  Result<std::vector<ImageBuild>> image_builds(const std::string& image, std::size_t limit) override {
    return inner_->image_builds(image, limit);
  }
  Result<std::vector<ImageBuild>> active_image_builds() override { return inner_->active_image_builds(); }
  Result<std::vector<JobId>> jobs_ended_before(Time t, std::size_t limit) override {
    return inner_->jobs_ended_before(t, limit);
  }
  Result<std::vector<LedgerEntry>> ledger(std::uint64_t from, std::size_t limit, const std::string& subject) override {
    return inner_->ledger(from, limit, subject);
  }
  Result<LedgerCheck> verify_ledger() override { return inner_->verify_ledger(); }

  bool full = false;     // every commit fails
  bool refused = false;  // one failed since somebody looked
  void reopen() {
    inner_.reset();
    inner_ = open_();
    with_image_.clear();
    // What is recorded goes by the wall clock, and goes with the jobs that are forgotten.
    if (land_.jumped || land_.config.keep_jobs < std::chrono::hours(1))
      spent_.clear(), failing_.clear(), quarantined_.clear();
  }

  // All that was ever written, by id; jobs that were forgotten since are in it too.
  std::map<JobId, Job> jobs_seen;
  std::map<BuilderId, Builder> builders_seen;
  std::set<JobId> forgotten;
  std::map<BuilderId, Time> gone_at;  // by the world's clock
  std::map<std::string, JobId> keys;  // idempotency keys ever written
  std::map<JobId, int> assignments;
  std::map<JobId, PoolName> repeated;  // and where it was lost
  std::map<PoolName, PoolVersions> pools_seen;
  std::uint64_t entries = 0;  // in the ledger
  bool has_image(const PoolName& pool) const { return with_image_.contains(pool); }
  // What is in the store is what was written. Slow: at the end and after restarts.
  void check_all();
  void check_story_ends();

 private:
  struct Story {
    std::set<std::string> told;
    std::string last;
    int assigned = 0, started = 0;
  };
  void watch(const Batch& batch);
  void watch_version(const ImageVersion& next);
  void watch_drain(const Builder& last, const Builder& next);
  void watch_pool(const PoolVersions& next, const Batch& batch);
  void watch_job(const Job& next, const Batch& batch);
  void watch_builder(const Builder& next, const Batch& batch);
  void watch_place(const Job& next);
  void watch_preference(const Job& assigned) const;
  void watch_repeat(const Job& assigned) const;
  bool idle_in(const PoolName& pool, BuilderId& id) const;
  void watch_new_builder(const Builder& next);
  void watch_stop(const Builder& last, const Builder& next) const;
  void watch_failing(const LedgerDraft& entry);
  void watch_entry(const LedgerDraft& entry);
  void watch_job_entry(Story& story, const LedgerDraft& entry);
  void watch_builder_entry(Story& story, const LedgerDraft& entry);
  void watch_end(const Job& job);

  Land& land_;
  std::function<std::unique_ptr<Store>()> open_;
  std::unique_ptr<Store> inner_;
  std::map<std::string, Story> stories_;
  std::map<std::string, Spent> spent_;                              // launches, by platform
  std::map<std::pair<std::string, std::string>, Failing> failing_;  // by platform and digest
  std::map<std::string, Failing> quarantined_;                      // by platform
  std::set<PoolName> with_image_;                                   // had it once since the daemon started
};

}  // namespace mayfly::sim
