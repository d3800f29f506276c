// Why a job waits, in words.
#include <fmt/format.h>

#include "plan/sight.h"

namespace mayfly::plan {
namespace {

Cause rate_limited(Sight& s, PlatformSight& platform, int waiting, int first) {
  const RateBudget& budget = *platform.view->budget;
  Time next = s.now + budget.wait(platform.waiting + 1);
  platform.waiting += waiting;
  s.wake_by(next);
  return {
      .code = ReasonCode::rate_limited,
      .text = fmt::format("{} for platform '{}', which may start {} builders a minute",
                          count(waiting, "launch waits", "launches wait"), platform.view->name, budget.per_minute()),
      .until = next,
      .queue = false,
      .each = Duration(std::chrono::minutes(1)) / std::max(1, budget.per_minute()),
      .first = first};
}

// What jobs wait for that no builder is coming for.
Cause shortage(Sight& s, PoolSight& pool, int first) {
  const PoolSpec& spec = *pool.view->spec;
  const PoolNumbers& numbers = pool.view->numbers;
  PlatformSight& platform = s.platforms[pool.view->platform];
  int beyond = static_cast<int>(pool.queued.size()) - first;
  if (pool.starts < pool.granted) {
    if (platform.tokens() < platform.slots()) return rate_limited(s, platform, beyond, first);
    return {ReasonCode::launch_limit,
            fmt::format("platform '{}' starts {} builders at a time", spec.platform, platform.view->parallel_launches),
            {},
            true};
  }
  if (numbers.max == 0)
    return {ReasonCode::pool_at_max, fmt::format("the schedule of pool '{}' allows no builders now", spec.name),
            numbers.until, true};
  if (pool.starts + pool.idle_starts >= pool.room())
    return {ReasonCode::pool_at_max,
            fmt::format("pool '{}' has all of its {} builders in use", spec.name, numbers.max),
            {},
            true};
  if (pool.one_at_a_time())
    return {ReasonCode::breaker_open,
            fmt::format("builders of pool '{}' kept failing; one is being tried", spec.name),
            {},
            true};
  return {ReasonCode::platform_at_max,
          fmt::format("platform '{}' has all of its {} builders in use or about to start", spec.platform,
                      platform.view->max),
          {},
          true};
}

}  // namespace

void say_why(Sight& s, Index index) {
  PoolSight& pool = s.pools[index];
  if (pool.queued.empty()) return;
  bool blocked = pool.blocked.code != ReasonCode::none;
  int comes = blocked ? 0 : std::min(static_cast<int>(pool.queued.size()), pool.coming + pool.starts), ahead = 0;
  Index cause = comes > 0 ? s.cause({ReasonCode::builder_starting, "a builder is starting for it"}) : nowhere;
  for (const Queued& q : pool.queued) {
    if (ahead == comes) cause = s.cause(blocked ? pool.blocked : shortage(s, pool, ahead));
    s.wait(q, index, ahead++, cause);
  }
}

std::string count(int n, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

Reason Plan::reason(const Wait& wait) const {
  const Cause& c = causes[wait.cause];
  Reason r{c.code, c.text, {}, c.until};
  if (r.until) *r.until += c.each * (wait.ahead - c.first);
  if (c.queue)
    r.text += wait.ahead == 0 ? "; it is next" : "; " + count(wait.ahead, "job is", "jobs are") + " ahead of it";
  return r;
}

}  // namespace mayfly::plan
