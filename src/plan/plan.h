#pragma once
// The only place that decides how many builders there are, which job goes to which, and which builder stops. Pure: the
// same sight of the world and the same `now` give the same plan. Any thread.
//
// Pools, platforms and lines are named by their index in Seen: one plan looks at 100,000 builders in tens of
// milliseconds, and looking names up would take longer than all else.
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "model/builder.h"
#include "model/job.h"
#include "model/pool.h"
#include "plan/breaker.h"
#include "plan/schedule.h"

namespace mayfly::plan {

using Index = std::uint32_t;
inline constexpr Index nowhere = ~Index(0);

// How things stand with an image of a pool.
struct ImageView {
  bool ready = false;
  bool in_progress = false;  // being built, fetched or resolved
  std::string problem;       // the last try failed: why
  bool permanent = false;    // … and trying again unchanged cannot help
  int failures = 0;          // in a row
  std::optional<Time> retry_at;
};

// How starting builders goes.
struct StartsView {
  int failed = 0;             // in a row
  std::string problem;        // the last one's
  std::optional<Time> after;  // backoff
};

// One version of what a pool's builders are made from.
struct VersionView {
  std::string name;    // as in Builder::image_version; empty where the pool's image has no versions
  std::string digest;  // once known
  ImageView image;
  StartsView starts;
  // Null: nothing is known against it. Shared by all pools that start this version on this platform.
  const Breaker* breaker = nullptr;  // starts that fail
  const Breaker* losses = nullptr;   // builders that die
};

struct PoolView {
  PoolName name;
  const PoolSpec* spec = nullptr;  // null: no longer configured
  PoolNumbers numbers;             // what the schedule says at `now`, else the spec's own (numbers_at, plan/schedule.h)
  Index platform = nowhere;
  std::string shape;  // shape_of() the spec (plan/config_facts.h)
  double served = 0;  // launches by weight (see PlatformView::served)
  // What builders may be started from: what the pool stands on and, during a rollout, the new version. None: nothing
  // was released yet that fits.
  std::vector<VersionView> versions;
  const Rollout* rollout = nullptr;  // under way
  std::string held;                  // why it does not move to a newer version yet, one sentence; empty: there is none
};

struct PlatformView {
  std::string name;
  bool available = true;
  bool disk_full = false;
  std::string problem;  // when not available
  int parallel_launches = 1;
  int max = 0;                          // builders of all pools; 0: not limited
  const RateBudget* budget = nullptr;   // as refilled at `now`; null: none
  const Breaker* quarantine = nullptr;  // builders of several versions kept failing here
  // Where pools compete and have equally many builders by weight, the one goes first that was served less. `served` is
  // how far the pool that was served last had been: one that wanted nothing for long does not get all of that back.
  double served = 0;
};

// A set of pools that could take a job, the one to ask first in front. Jobs that name a pool have that one alone.
struct DemandView {
  std::vector<Index> pools;
  std::string labels;  // as the jobs ask for them; empty: they name the pool
};

// The jobs of one submitter with one demand.
struct LineView {
  std::uint64_t served = 0;  // when one of them got a builder last, as a number that grows; 0: never
};

struct JobView {
  JobId id = 0;
  const Job* job = nullptr;
  Index demand = nowhere;
  Index line = nowhere;
  Index pool = nowhere;  // of the builder that it has
  Time since{};          // when that builder got it, or it began; put right when the wall clock was put on or back
};

struct BuilderView {
  std::uint64_t number = 0;  // model/builder.h
  const Builder* builder = nullptr;
  Index pool = nowhere;
  Index platform = nowhere;
  Time since{};  // when it was asked for; put right as above
};

// What was seen. Jobs and builders that ended are not in it.
struct Seen {
  std::vector<PoolView> pools;
  std::vector<PlatformView> platforms;
  std::vector<DemandView> demands;
  std::vector<LineView> lines;
  std::vector<JobView> jobs;          // by id
  std::vector<BuilderView> builders;  // in the order in which they were asked for
  bool shutting_down = false;         // nothing new is started; idle builders go
};

struct PrepareImage {
  Index pool, version;
};
struct StartBuilder {
  Index pool, version;
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
  Index pool;
  JobResult result;
};
struct CancelOverdue {
  JobId job;
  std::string why;
};  // the agent did not end it in time: end it from outside
struct MoveRollout {
  Index pool;
  RolloutState next;
  std::string why;
};
using Action = std::variant<PrepareImage, StartBuilder, StopBuilder, AssignJob, FailJob, CancelOverdue, MoveRollout>;

// What jobs wait for. Many share one; only how many are ahead of each differs.
struct Cause {
  ReasonCode code = ReasonCode::none;
  std::string text = {};
  std::optional<Time> until = {};
  bool queue = false;  // the sentence goes on with the jobs ahead
  Duration each{};     // `until` is this much later for each job beyond the first with this cause
  int first = 0;       // how many jobs are ahead of that one
};
struct Wait {
  JobId job;
  ReasonCode code;
  Index cause;  // in Plan::causes
  Index pool;   // that it waits for; nowhere: there is none
  int ahead;    // jobs that wait for the same pool and are served before it
  bool fresh;   // the job's own `waiting` says another code
};

struct Plan {
  std::vector<Action> actions;
  std::vector<Wait> waits;  // every queued job that the actions leave waiting; in each pool in the order of service
  std::vector<Cause> causes;
  std::optional<Time> wake;  // plan again by then even if nothing happens

  Reason reason(const Wait& wait) const;  // in words; `since` is for the caller to fill
};

// Bounds on what may take how long before the plan gives up on it.
struct Patience {
  // A warm builder is replaced only once its job runs, or after this: on a small host the replacement's start would
  // take the very cores that the job needs for its first millisecond.
  Duration refill = std::chrono::milliseconds(20);
  Duration start = std::chrono::minutes(2);     // requested → ready
  Duration ready = std::chrono::hours(24);      // idle, before another one takes its place
  Duration overdue = std::chrono::seconds(30);  // past timeout and grace, before a job is ended from outside
  int failed_starts = 5;                        // in a row, before the jobs waiting for them fail
  int failed_images = 5;                        // likewise, of tries to have the pool's image
};

// The pools that could take this job, by preference: the one that it names, or those that have all its labels and allow
// its secrets and its time limit. Labels are compared without case.
std::vector<Index> pools_for(const JobSpec& job, const std::vector<PoolView>& pools);
// What pools_for() looks at. The configuration outlives it.
std::vector<PoolView> views_of(const Config& config);

Plan plan(const Seen& seen, Time now, const Patience& patience = {});

}  // namespace mayfly::plan
