#pragma once
// The loop: observe, plan, record the intent, act, record the outcome. One thread owns all mutable state; everybody
// else talks to it through the methods below, which may be called from any thread, post a message and return at once.
// Callbacks run on the control thread: they must be quick and must not block (the API posts them on to its own loop).
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "model/builder.h"
#include "model/image_build.h"
#include "model/job.h"
#include "model/ledger.h"
#include "model/pool.h"
#include "model/state_paths.h"
#include "plan/config_change.h"
#include "plan/plan.h"
#include "ports/agents.h"
#include "ports/ci.h"
#include "ports/image_tool.h"
#include "ports/image_works.h"
#include "ports/platform.h"
#include "ports/publisher.h"
#include "ports/reporter.h"
#include "ports/secret_store.h"
#include "ports/store.h"

namespace mayfly {

// What queued jobs of a pool wait for: those with the same reason together.
struct PoolWait {
  Reason reason;  // of the one that has waited longest; `since` is its own
  int jobs = 0;
};

struct PoolStatus {
  PoolSpec spec;
  std::string image_digest;  // once resolved
  std::string version;       // that it stands on; empty: none, or its image has no versions
  std::string rollout;       // one sentence while one is under way
  std::string problem;       // why it cannot start builders for now; empty: it can
  int queued = 0, starting = 0, ready = 0, busy = 0, stopping = 0;
  std::vector<PoolWait> waits;  // most jobs first
};

// A builder that was started, or could not be, since the daemon is up.
struct PoolStart {
  BuilderId builder;
  Time at{};            // when it was asked for
  Duration took{};      // until it was ready
  std::string problem;  // it did not come to that: why
};

struct PoolExplanation {
  PoolStatus status;
  std::vector<plan::NumberSource> numbers;  // warm, min and max as they hold now, and why
  std::optional<Time> numbers_until;        // when the schedule changes something next
  std::vector<PoolStart> starts;            // the last ones, newest first
  std::vector<Builder> builders;            // by age
};

struct Status {
  Time started_at{};
  std::vector<PoolStatus> pools;  // by name
  std::string notice;             // one sentence that an operator should read; empty: all is well
};

// A job with its story: what happened to it, from the ledger, and what it waits for.
struct Explanation {
  Job job;
  std::vector<LedgerEntry> story;  // of the job and of its builder, in order
  std::vector<Job> ahead;          // queued: the jobs that will be served before it (at most 20)
  int ahead_total = 0;
};

// A version to be: what was built, and how it shall be called.
struct ReleaseRequest {
  std::string image, reference;
  std::optional<SemVer> number;  // the next one of `level` when not given
  VersionLevel level = VersionLevel::patch;
  std::string commit;
  std::vector<std::string> approved_by;
  std::string builder_digest = {};                // of the image whose builder built it; may be empty
  std::map<std::string, std::string> bases = {};  // images that it was built FROM → their digests
};

enum class RolloutOrder {
  pause,     // it does not go forward by itself; it is still rolled back on evidence
  resume,    // … it does again; or one that was rolled back is tried once more
  rollback,  // back to the old version; also after it was promoted
  promote,   // the pool stands on the new version now, proven or not
};

// A build to be made of an image's recipe in git.
struct BuildRequest {
  std::string image;
  std::string ref;  // empty: the branch that it is released from
  BuildTrigger trigger = BuildTrigger::hand;
  std::string by;
  bool again = false;  // even where the same recipe was built before
  // Trigger `base`, for a base in a registry: what is there now, and how it was seen.
  std::map<std::string, std::string> registry_bases = {};
  std::string reason = {};
};

// Who has to do with one version now.
struct VersionUse {
  SemVer number;
  std::vector<PoolName> pools;     // that stand on it or move to it
  std::vector<JobId> failed_jobs;  // of the last jobs on it, newest first; only where one image is asked for
};

struct ImageStatus {
  std::string name, recipe;                     // recipe: empty where it has none
  std::vector<ImageVersion> versions;           // the highest first
  std::map<std::string, std::string> channels;  // "latest", "2", "2.4" → the version that each means now
  std::vector<Publication> publications;        // where each stands in which registry
  std::vector<VersionUse> uses;                 // of versions that have any
  std::map<PoolName, std::string> held;  // pools that wait for a version to be in their registries, and for which
  std::string base_note = {};  // why no build follows a base in a registry; empty: the image has what is there
};

// A configuration that is to be put into force.
struct ConfigOrder {
  Config config;
  std::string file, who;  // where it came from and who asked: for the ledger
  std::string plan;       // id of the change that was shown; empty: none was
  bool strand = false;    // also where queued jobs would wait for ever or fail
};

// Everything control works with; all of it outlives control. Built in app/catalog.cc, or by a test.
struct ControlParts {
  const Clock& clock;
  const Log& log;
  Store& store;
  SecretStore& secrets;
  ImageTool& images;
  std::vector<Platform*> platforms;  // a pool names one of them
  // Makes the line to the agents, given where its events go.
  std::function<std::unique_ptr<Agents>(AgentSink)> make_agents;
  StatePaths paths;  // an empty root: no files at all, as in a simulation
  Config config;
  // Called with every plan before it is carried out. A simulation counts here what jobs wait for. May be empty.
  std::function<void(const plan::Plan&)> on_plan = {};
  // Called with the name of every step boundary ("control.before-commit", …). The crash tests kill the daemon here.
  std::function<void(std::string_view step)> on_step = {};
  // Called on the control thread, once, when after drain() no builder is left. May be empty.
  std::function<void()> on_drained = {};
  // Called on the control thread with a configuration that is in force from now on. May be empty.
  std::function<void(const Config&)> on_config = {};
  Publisher* publisher = nullptr;                    // null: versions are not brought to registries
  std::map<PoolName, std::shared_ptr<Ci>> cis = {};  // of the pools whose jobs are fetched from a CI
  // Makes the connector that another configuration wants for a pool; null where its jobs are sent by somebody. Called
  // on the control thread: must not block. Empty: only a restart connects a pool to another CI.
  std::function<Result<std::shared_ptr<Ci>>(const PoolSpec&)> make_ci = {};
  // Called on the control thread with the connectors that are in force from now on. May be empty.
  std::function<void(std::map<PoolName, std::shared_ptr<Ci>>)> on_cis = {};
  ImageWorks* works = nullptr;   // null: this daemon builds no images from git
  Reporter* reporter = nullptr;  // null: nobody is told how builds stand
  plan::Patience patience = {};  // other limits than a daemon's are for simulated platforms
};

// A job as it is asked for.
struct JobRequest {
  JobSpec spec;
  std::string idempotency_key = {};
  std::string ci = "builtin";                                // where it comes from
  CiRecord external = {};                                    // the CI's side of it
  std::map<std::string, std::string> one_time_secrets = {};  // by variable
};

// How a job of a CI that sends its jobs by itself ended there.
struct CiReport {
  CiOutcome outcome = CiOutcome::unknown;
  std::string result;  // the CI's own word
};

// A notification of a CI, as it came.
struct Webhook {
  std::string kind, name;                                    // of its address
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;
};

class Control {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  // Loads the state, reconciles it with what the platforms still run, and starts the thread. Fails if the store cannot
  // be read; a platform that does not answer is a problem of its pools alone.
  static Result<std::unique_ptr<Control>> start(ControlParts parts);
  ~Control();  // as stop(true)

  // Ends the loop. keep_builders: running jobs go on, and the next daemon adopts them; otherwise every builder is
  // stopped first and jobs that ran are recorded as lost.
  void stop(bool keep_builders);

  void submit(JobRequest request, Done<Job> done);
  void cancel(JobId id, std::string who, Done<Job> done);  // an ended job: conflict
  void job(JobId id, Done<Job> done);
  void jobs(JobFilter filter, Done<std::vector<Job>> done);
  void builders(bool gone_too, Done<std::vector<Builder>> done);
  void status(Done<Status> done);
  void explain(JobId id, Done<Explanation> done);
  void explain_pool(PoolName name, Done<PoolExplanation> done);
  // Starts nothing new from now on, lets running jobs finish, and says so by on_drained; queued jobs stay queued.
  // Answers at once, with what still runs. Asked again it only answers.
  void drain(std::string who, Done<Status> done);
  // What `config` would change if it were in force.
  void plan_config(Config config, Done<plan::ConfigChange> done);
  // Puts it into force, but for what only a restart can change. conflict: it is not the change that was shown any more,
  // or would strand jobs; then all stays as it is.
  void apply_config(ConfigOrder order, Done<plan::ConfigChange> done);
  // Resolves the reference to its digest first, which may take as long as fetching the image does. The same again
  // gives the version that there is; another digest under a number that is taken: conflict.
  void release(ReleaseRequest request, std::string who, Done<ImageVersion> done);
  void images(Done<std::vector<ImageStatus>> done);
  void image(std::string name, Done<ImageStatus> done);
  // Of all pools that follow an image's versions.
  void rollouts(Done<std::vector<PoolVersions>> done);
  void change_rollout(PoolName pool, RolloutOrder order, std::string who, Done<PoolVersions> done);
  // Withdraws every version above `to` (when not given: above the one before the highest).
  void rollback_image(std::string name, std::optional<SemVer> to, std::string who, Done<ImageStatus> done);
  // Tries at once, without waiting for its time, whatever is not in every registry yet.
  void publish_image(std::string name, std::string who, Done<ImageStatus> done);
  void build_image(BuildRequest request, Done<ImageBuild> done);
  void image_builds(std::string image, std::size_t limit, Done<std::vector<ImageBuild>> done);  // newest first
  void image_build(BuildId id, Done<ImageBuild> done);
  // conflict: it is not there yet, this person's word cannot count, or the recipe has changed since.
  void approve_build(BuildId id, std::string who, Done<ImageBuild> done);
  void cancel_build(BuildId id, std::string who, Done<ImageBuild> done);
  void ledger(std::uint64_t from_seq, std::size_t limit, std::string subject, Done<std::vector<LedgerEntry>> done);
  void verify_ledger(Done<LedgerCheck> done);

  // By whoever submitted it: it is over at its CI. Ends the job here, with the CI's word for the outcome.
  void report(JobId id, CiReport report, std::string who, Done<Job> done);
  // Checks it on the caller's thread, which is not kept waiting; gives how many pools it was for. denied: not from who
  // it should be from. conflict: it came before. not_found: no pool has such a webhook.
  Result<int> webhook(const Webhook& webhook);

  // Calls back once the job has ended (at once if it has already); not_found for an unknown id.
  void when_ended(JobId id, Done<Job> done);

 private:
  class Loop;
  explicit Control(std::unique_ptr<Loop> loop);
  std::unique_ptr<Loop> loop_;
};

}  // namespace mayfly
