#include "plan/plan.h"

#include "plan/sight.h"

namespace mayfly::plan {
namespace {

void serve(Sight& s, Index index) {
  PoolSight& pool = s.pools[index];
  retire_idle(s, pool);
  assign(s, pool);
  if (pool.queued.empty() && pool.idle_wanted() <= 0) return;
  Cause blocked = obstacle(s, index);
  if (blocked.code == ReasonCode::none) return start(s, index);
  if (blocked.until) s.wake_by(*blocked.until);
  if (pool.queued.empty()) return;
  Index cause = s.cause(std::move(blocked));
  int ahead = 0;
  for (const Queued& q : pool.queued) s.wait(q, index, ahead++, cause);
}

}  // namespace

Plan plan(const Seen& seen, Time now, const Patience& patience) {
  Sight s{seen, now, patience, {}, {}, {}, {}};
  survey(s);
  for (Index i = 0; i < s.pools.size(); ++i) serve(s, i);
  return std::move(s.plan);
}

}  // namespace mayfly::plan
