#pragma once
// The only place that decides how many builders there are, which job goes to which, and which builder stops. Pure: the
// same specification, the same sight of the world and the same `now` give the same plan. Any thread.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "model/builder.h"
#include "model/job.h"
#include "model/pool.h"
#include "plan/schedule.h"

namespace mayfly::plan {

// How things stand with a pool's image.
struct ImageView {
  bool ready = false;
  bool in_progress = false;  // being built, fetched or resolved
  std::string problem;       // the last try failed: why
  bool permanent = false;    // … and trying again unchanged cannot help
  int failures = 0;          // in a row
  std::optional<Time> retry_at;
};

struct PoolView {
  const PoolSpec* spec = nullptr;
  const Schedule* schedule = nullptr;  // made from the spec; null: the spec's own numbers always hold
  ImageView image;
  int failed_starts = 0;            // in a row
  std::string start_problem;        // the last one's
  std::optional<Time> start_after;  // backoff
};

struct PlatformView {
  bool available = true;
  bool disk_full = false;
  std::string problem;  // when not available
  int parallel_launches = 1;
};

// What was seen. Jobs and builders that ended are not in it.
struct Seen {
  std::map<PoolName, PoolView> pools;
  std::map<std::string, PlatformView> platforms;
  std::vector<const Job*> jobs;          // by id
  std::vector<const Builder*> builders;  // by id
  bool shutting_down = false;            // nothing new is started; idle builders go
};

struct PrepareImage {
  PoolName pool;
};
struct StartBuilder {
  PoolName pool;
  bool warm;
  std::string why;
};
struct StopBuilder {
  BuilderId builder;
  std::string why;
};
struct AssignJob {
  JobId job;
  BuilderId builder;
};
struct FailJob {
  JobId job;
  JobResult result;
};
struct CancelOverdue {
  JobId job;
  std::string why;
};  // the agent did not end it in time: end it from outside
using Action = std::variant<PrepareImage, StartBuilder, StopBuilder, AssignJob, FailJob, CancelOverdue>;

struct Plan {
  std::vector<Action> actions;
  std::map<JobId, Reason>
      reasons;               // every queued job that the actions leave waiting; `since` is for the caller to fill
  std::optional<Time> wake;  // plan again by then even if nothing happens
};

// Bounds on what may take how long before the plan gives up on it.
struct Patience {
  // A warm builder is replaced only once its job runs, or after this: on a small host the replacement's start would
  // take the very cores that the job needs for its first millisecond.
  Duration refill = std::chrono::milliseconds(20);
  Duration start = std::chrono::minutes(2);     // requested → ready
  Duration overdue = std::chrono::seconds(30);  // past timeout and grace, before a job is ended from outside
  int failed_starts = 5;                        // in a row, before the jobs waiting for them fail
  int failed_images = 5;                        // likewise, of tries to have the pool's image
};

Plan plan(const Seen& seen, Time now, const Patience& patience = {});

// The order in which a pool's queued jobs are served: higher priority first; within a priority submitters take turns,
// so that a thousand jobs of one do not make another's single job wait for all of them; then first come, first served.
// `busy` counts each submitter's jobs that builders of the pool have already.
std::vector<const Job*> fair_order(std::vector<const Job*> queued, std::map<std::string, int> busy);

}  // namespace mayfly::plan
