// How many builders a pool starts: what is missing, within the pool's max and the platform's launch limit.
#include <fmt/format.h>

#include "plan/sight.h"

namespace mayfly::plan {
namespace {

// What jobs wait for that no builder is coming for.
Cause shortage(const Sight& s, const PoolSight& pool, bool at_max) {
  const PoolSpec& spec = *pool.view->spec;
  const PoolNumbers& numbers = pool.view->numbers;
  if (at_max && numbers.max == 0)
    return {ReasonCode::pool_at_max, fmt::format("the schedule of pool '{}' allows no builders now", spec.name),
            numbers.until, true};
  if (at_max)
    return {ReasonCode::pool_at_max,
            fmt::format("pool '{}' has all of its {} builders in use", spec.name, numbers.max),
            {},
            true};
  return {ReasonCode::launch_limit,
          fmt::format("platform '{}' starts {} builders at a time", spec.platform,
                      s.seen.platforms[pool.view->platform].parallel_launches),
          {},
          true};
}

void say_why(Sight& s, Index index, int coming, bool at_max) {
  const PoolSight& pool = s.pools[index];
  Index starting = nowhere, short_of = nowhere;
  int ahead = 0;
  for (const Queued& q : pool.queued) {
    bool comes = ahead < coming;
    if (comes && starting == nowhere)
      starting = s.cause({ReasonCode::builder_starting, "a builder is starting for it", {}, false});
    if (!comes && short_of == nowhere) short_of = s.cause(shortage(s, pool, at_max));
    s.wait(q, index, ahead++, comes ? starting : short_of);
  }
}

}  // namespace

void start(Sight& s, Index index) {
  PoolSight& pool = s.pools[index];
  int demand = static_cast<int>(pool.queued.size()), idle = pool.idle_wanted();
  int missing = demand + idle - pool.coming - static_cast<int>(pool.ready.size());
  if (pool.refill_at && missing > demand - pool.coming) {
    missing = demand - pool.coming;
    s.wake_by(*pool.refill_at);
  }
  int room = pool.view->numbers.max - pool.exist;
  int& launching = s.launching[pool.view->platform];
  int slots = s.seen.platforms[pool.view->platform].parallel_launches - launching;
  int starts = std::max(0, std::min({missing, room, slots}));
  for (int i = 0; i < starts; ++i) {
    bool for_job = pool.coming + i < demand;
    s.act(StartBuilder{index, 0, !for_job, for_job ? "a job waits" : fmt::format("the pool keeps {} ready", idle)});
  }
  launching += starts;
  say_why(s, index, pool.coming + starts, room <= starts);
}

}  // namespace mayfly::plan
