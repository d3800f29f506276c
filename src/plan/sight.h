#pragma once
// What the parts of one plan share: the world sorted by pools, and the plan as it grows. Only plan/*.cc includes this.
#include <algorithm>
#include <string_view>

#include "plan/plan.h"

namespace mayfly::plan {

struct Queued {
  const Job* job;
  Index line;
  int turn = 0;  // of its line, those that have a builder counted
};

struct PoolSight {
  const PoolView* view = nullptr;
  std::vector<Queued> queued;  // in the order in which they will be served
  std::vector<const Builder*> ready;
  int coming = 0;                 // requested or starting, without a job
  int busy = 0, exist = 0;        // exist: all that are not gone
  std::optional<Time> refill_at;  // a job was just handed over: warm builders are not replaced before this

  // Builders that the pool keeps without a job.
  int idle_wanted() const { return view->spec ? std::max(view->numbers.warm, view->numbers.min - busy) : 0; }
};

struct Sight {
  const Seen& seen;
  const Time now;
  const Patience& patience;
  std::vector<PoolSight> pools;
  std::vector<int> launching;  // by platform
  std::vector<int> busy;       // by line: jobs that have a builder
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
void survey(Sight& s);                         // sorts jobs and builders by pool
void order_queue(Sight& s, PoolSight& pool);   // queue.cc
void check_start(Sight& s, const Builder& b);  // faults.cc: a builder that should be ready by now
void check_end(Sight& s, const JobView& v);    // faults.cc: a job that should have ended by now
void retire_idle(Sight& s, PoolSight& pool);   // match.cc: builders that nothing will need
void assign(Sight& s, PoolSight& pool);        // match.cc
Cause obstacle(Sight& s, Index index);         // faults.cc: what keeps a pool from starting; code none: nothing
void start(Sight& s, Index index);             // scale.cc: what is missing, and what the rest waits for
std::string count(int n, std::string_view one, std::string_view many);  // "1 job is", "2 jobs are"

}  // namespace mayfly::plan
