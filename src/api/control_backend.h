#pragma once
// The real backend: passes every call on to control.
#include <atomic>
#include <functional>

#include "api/backend.h"
#include "control/worker_executor.h"

namespace mayfly::api {

// Reads and checks a configuration; blocking. The app's, for the API knows no file formats.
struct ReadConfig {
  Config config;
  std::string file;
  bool own = false;
};
using ConfigReader = std::function<Result<ReadConfig>(const ConfigSource&)>;

class ControlBackend final : public Backend {
 public:
  ControlBackend(Control& control, ConfigReader reader) : control_(control), reader_(std::move(reader)) {}
  void submit(JobRequest request, Done<Job> done) override { control_.submit(std::move(request), std::move(done)); }
  void report(JobId id, CiReport report, std::string who, Done<Job> done) override {
    control_.report(id, std::move(report), std::move(who), std::move(done));
  }
  Result<int> webhook(const Webhook& webhook) override { return control_.webhook(webhook); }
  void cancel(JobId id, std::string who, Done<Job> done) override {
    control_.cancel(id, std::move(who), std::move(done));
  }
  void job(JobId id, Done<Job> done) override { control_.job(id, std::move(done)); }
  void jobs(JobFilter filter, Done<std::vector<Job>> done) override {
    control_.jobs(std::move(filter), std::move(done));
  }
  void builders(bool gone_too, Done<std::vector<Builder>> done) override {
    control_.builders(gone_too, std::move(done));
  }
  void status(Done<Status> done) override { control_.status(std::move(done)); }
  void explain(JobId id, Done<Explanation> done) override { control_.explain(id, std::move(done)); }
  void release(ReleaseRequest request, std::string who, Done<ImageVersion> done) override {
    control_.release(std::move(request), std::move(who), std::move(done));
  }
  void images(Done<std::vector<ImageStatus>> done) override { control_.images(std::move(done)); }
  void image(std::string name, Done<ImageStatus> done) override { control_.image(std::move(name), std::move(done)); }
  void publish_image(std::string name, std::string who, Done<ImageStatus> done) override {
    control_.publish_image(std::move(name), std::move(who), std::move(done));
  }
  void rollouts(Done<std::vector<PoolVersions>> done) override { control_.rollouts(std::move(done)); }
  void change_rollout(PoolName pool, RolloutOrder order, std::string who, Done<PoolVersions> done) override {
    control_.change_rollout(std::move(pool), order, std::move(who), std::move(done));
  }
  void rollback_image(std::string name, std::optional<SemVer> to, std::string who, Done<ImageStatus> done) override {
    control_.rollback_image(std::move(name), std::move(to), std::move(who), std::move(done));
  }
  void drain(std::string who, Done<Status> done) override { control_.drain(std::move(who), std::move(done)); }
  void explain_pool(PoolName name, Done<PoolExplanation> done) override {
    control_.explain_pool(std::move(name), std::move(done));
  }
  void plan_config(ConfigSource source, Done<ConfigPlan> done) override;
  void apply_config(ConfigSource source, ConfigOrder order, Done<ConfigPlan> done) override;
  void ledger(std::uint64_t from, std::size_t limit, std::string subject,
              Done<std::vector<LedgerEntry>> done) override {
    control_.ledger(from, limit, std::move(subject), std::move(done));
  }
  void verify_ledger(Done<LedgerCheck> done) override { control_.verify_ledger(std::move(done)); }
  void build_image(BuildRequest request, Done<ImageBuild> done) override {
    control_.build_image(std::move(request), std::move(done));
  }
  void image_builds(std::string image, std::size_t limit, Done<std::vector<ImageBuild>> done) override {
    control_.image_builds(std::move(image), limit, std::move(done));
  }
  void image_build(BuildId id, Done<ImageBuild> done) override { control_.image_build(id, std::move(done)); }
  void approve_build(BuildId id, std::string who, Done<ImageBuild> done) override {
    control_.approve_build(id, std::move(who), std::move(done));
  }
  void cancel_build(BuildId id, std::string who, Done<ImageBuild> done) override {
    control_.cancel_build(id, std::move(who), std::move(done));
  }
  void when_ended(JobId id, Done<Job> done) override { control_.when_ended(id, std::move(done)); }

 private:
  void read(ConfigSource source, std::function<void(Result<ReadConfig>)> then);

  Control& control_;
  ConfigReader reader_;
  std::atomic<int> reading_{0};
  Workers readers_{1};
};

}  // namespace mayfly::api
