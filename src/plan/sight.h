#pragma once
// What the parts of one plan share: the world sorted by pools and platforms, and the plan as it grows. Only plan/*.cc
// includes this.
#include <algorithm>
#include <limits>
#include <set>
#include <string_view>

#include "plan/plan.h"

namespace mayfly::plan {

inline constexpr int unlimited = std::numeric_limits<int>::max();

struct Queued {
  const Job* job;
  Index demand, line;
  std::uint64_t served = 0;  // when its line got a builder last
  int turn = 0;              // of its line, those that have a builder counted
};

struct Idle {
  const Builder* builder;
  Index version;  // in the view's versions; nowhere: none of them
};

struct PoolSight {
  const PoolView* view = nullptr;
  std::vector<Queued> queued;  // that will go here, in the order in which they will be served
  std::vector<Idle> ready;
  int usable = 0;      // of these, those whose image is ready: a job's order needs what it says
  int coming_new = 0;  // of those that are coming: of the version that is being rolled out
  int stopping = 0;
  Index main = 0;                     // the version that jobs' builders are started from
  int coming = 0;                     // requested or starting, without a job
  int busy = 0, exist = 0;            // exist: all that are not gone
  std::optional<Time> refill_at;      // a job was just handed over: warm builders are not replaced before this
  bool needed = false;                // by a job that could go here, or to have builders idle
  bool prepare = false;               // its image is to be had first
  std::vector<const Breaker*> tries;  // that let one try through, whichever pool has it
  Cause blocked;                      // why it starts nothing; code none: it may
  std::optional<JobResult> hopeless;  // what its jobs end with
  int granted = 0, starts = 0, idle_starts = 0;  // for jobs: that its platform has room for; that start now

  bool in(RolloutState state) const { return view->rollout && view->rollout->state == state; }
  int ready_of(Index version) const {
    return static_cast<int>(
        std::count_if(ready.begin(), ready.end(), [&](const Idle& i) { return i.version == version; }));
  }
  // Builders that the pool keeps without a job.
  int idle_wanted() const {
    return view->spec ? std::max(0, std::max(view->numbers.warm, view->numbers.min - busy)) : 0;
  }
  bool one_at_a_time() const { return !tries.empty(); }
  int room() const { return std::max(0, view->numbers.max - exist); }
  // Builders that are there or will be, without those still to be started.
  int at_hand() const { return coming + usable; }
  bool may_start() const { return blocked.code == ReasonCode::none || blocked.code == ReasonCode::image_resolving; }
};

struct PlatformSight {
  const PlatformView* view = nullptr;
  std::vector<Index> pools;
  int launching = 0, exist = 0, stopping = 0;
  int waiting = 0;                   // jobs that wait for its rate limit, so far
  int slack = 0;                     // builders that it has room for beyond those granted to jobs
  std::set<const Breaker*> claimed;  // whose one try a pool was given

  int left() const { return view->max == 0 ? unlimited : std::max(0, view->max - exist); }
  int tokens() const { return view->budget ? view->budget->left() : unlimited; }
  bool has_claimed(const std::vector<const Breaker*>& tries) const {
    return std::any_of(tries.begin(), tries.end(), [&](const Breaker* b) { return claimed.contains(b); });
  }
  int slots() const { return std::max(0, view->parallel_launches - launching); }
};

struct Sight {
  const Seen& seen;
  const Time now;
  const Patience& patience;
  std::vector<PoolSight> pools;
  std::vector<PlatformSight> platforms;
  std::vector<int> busy;                     // by line: jobs that have a builder
  std::vector<std::vector<Queued>> waiting;  // by demand, until each job has a pool to wait for
  std::set<const Breaker*> trying;           // whose one try is under way
  std::vector<MoveRollout> moves;            // the plan's last actions: they change what the others' versions mean
  Plan plan;

  void wake_by(Time t) {
    if (!plan.wake || t < *plan.wake) plan.wake = t;
  }
  template <class A>
  void act(A action) {
    plan.actions.emplace_back(std::move(action));
  }
  Index cause(Cause c) {
    plan.causes.push_back(std::move(c));
    return static_cast<Index>(plan.causes.size() - 1);
  }
  void wait(const Queued& q, Index pool, int ahead, Index cause) {
    ReasonCode code = plan.causes[cause].code;
    plan.waits.push_back({q.job->id, code, cause, pool, ahead, q.job->waiting.code != code});
  }
};

// Each reads and writes the sight; in this order.
void survey(Sight& s);                               // sorts jobs by demand, builders by pool
void order_queue(Sight& s, std::vector<Queued>& q);  // queue.cc
bool served_before(const Queued& a, const Queued& b);
void check_start(Sight& s, const BuilderView& v);          // faults.cc: a builder that should be ready by now
void check_end(Sight& s, const JobView& v);                // faults.cc: a job that should have ended by now
void retire_outdated(Sight& s, PoolSight& pool);           // match.cc: idle builders that nobody may use
void note_tries(Sight& s);                                 // faults.cc: what judge() needs of all pools
void judge(Sight& s, Index pool);                          // faults.cc: whether it may start builders
void route(Sight& s);                                      // match.cc: each job to a pool; calls share()
void share(Sight& s, Index platform);                      // scale.cc: what each pool may start there
void give_up(Sight& s, Index pool);                        // faults.cc: ends jobs for which there is no hope
void assign(Sight& s, PoolSight& pool);                    // match.cc
void start(Sight& s, Index pool);                          // scale.cc
void say_why(Sight& s, Index pool);                        // reasons.cc: what the rest waits for
void reclaim(Sight& s, Index platform);                    // scale.cc: idle builders make room for another pool's jobs
Index version_of(const PoolView& view, const Builder& b);  // survey.cc
bool can_start(const Sight& s, const PoolSight& pool, Index version);  // faults.cc: nothing about it is in the way
// transition.cc
void tend_rollout(Sight& s, Index pool);                    // prepares the new version and moves the rollout on
Index main_version(const Sight& s, const PoolSight& pool);  // what jobs' builders are started from
bool wants_proof(const PoolSight& pool);                    // one builder that shows that the new version comes up
int candidates(const Sight& s, const PoolSight& pool);      // builders of the new version to start first
void trim_rollout(Sight& s, PoolSight& pool);               // idle builders that a rollout has no need of
std::string count(int n, std::string_view one, std::string_view many);  // "1 job is", "2 jobs are"

}  // namespace mayfly::plan
