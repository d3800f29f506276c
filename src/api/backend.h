#pragma once
// What the API needs of control, so that its tests need no control loop. Same words, same rules (control/control.h):
// any thread, returns at once, calls back once on a thread of the backend's.
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "control/control.h"

namespace mayfly::api {

// A configuration as a request names it.
struct ConfigSource {
  std::optional<std::string> text;  // none: the daemon's own file, as it is now
  std::string file;                 // of the text: what messages call it, and whose folder relative paths start from
};
struct ConfigPlan {
  plan::ConfigChange change;
  std::string summary;  // one line
  std::string file;
  bool own = false;  // the file that the daemon's next start reads
};

class Backend {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  virtual ~Backend() = default;
  virtual void submit(JobRequest request, Done<Job> done) = 0;
  virtual void report(JobId id, CiReport report, std::string who, Done<Job> done) = 0;
  virtual Result<int> webhook(const Webhook& webhook) = 0;  // answers at once
  virtual void cancel(JobId id, std::string who, Done<Job> done) = 0;
  virtual void job(JobId id, Done<Job> done) = 0;
  virtual void jobs(JobFilter filter, Done<std::vector<Job>> done) = 0;
  virtual void builders(bool gone_too, Done<std::vector<Builder>> done) = 0;
  virtual void status(Done<Status> done) = 0;
  virtual void explain(JobId id, Done<Explanation> done) = 0;
  virtual void release(ReleaseRequest request, std::string who, Done<ImageVersion> done) = 0;
  virtual void images(Done<std::vector<ImageStatus>> done) = 0;
  virtual void image(std::string name, Done<ImageStatus> done) = 0;
  virtual void publish_image(std::string name, std::string who, Done<ImageStatus> done) = 0;
  virtual void rollouts(Done<std::vector<PoolVersions>> done) = 0;
  virtual void change_rollout(PoolName pool, RolloutOrder order, std::string who, Done<PoolVersions> done) = 0;
  virtual void rollback_image(std::string name, std::optional<SemVer> to, std::string who, Done<ImageStatus> done) = 0;
  virtual void drain(std::string who, Done<Status> done) = 0;
  virtual void explain_pool(PoolName name, Done<PoolExplanation> done) = 0;
  // invalid: the configuration is wrong, with every mistake and its place in the message.
  virtual void plan_config(ConfigSource source, Done<ConfigPlan> done) = 0;
  // `order`: all but the configuration and its file.
  virtual void apply_config(ConfigSource source, ConfigOrder order, Done<ConfigPlan> done) = 0;
  virtual void ledger(std::uint64_t from, std::size_t limit, std::string subject,
                      Done<std::vector<LedgerEntry>> done) = 0;
  virtual void verify_ledger(Done<LedgerCheck> done) = 0;
  virtual void build_image(BuildRequest request, Done<ImageBuild> done) = 0;
  virtual void image_builds(std::string image, std::size_t limit, Done<std::vector<ImageBuild>> done) = 0;
  virtual void image_build(BuildId id, Done<ImageBuild> done) = 0;
  virtual void approve_build(BuildId id, std::string who, Done<ImageBuild> done) = 0;
  virtual void cancel_build(BuildId id, std::string who, Done<ImageBuild> done) = 0;
  virtual void when_ended(JobId id, Done<Job> done) = 0;
};

}  // namespace mayfly::api
