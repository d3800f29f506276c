#include "plan/sight.h"

namespace mayfly::plan {
namespace {

void hold_refill(Sight& s, PoolSight& pool, Time handed_over) {
  Time until = handed_over + s.patience.refill;
  if (until > s.now && (!pool.refill_at || until > *pool.refill_at)) pool.refill_at = until;
}

void count_builder(Sight& s, const BuilderView& view) {
  const Builder& b = *view.builder;
  PoolSight& pool = s.pools[view.pool];
  ++pool.exist;
  switch (b.state) {
    case BuilderState::requested:
      if (view.platform != nowhere) ++s.launching[view.platform];
      [[fallthrough]];
    case BuilderState::starting:
      // One past its deadline is given up in this very plan: nobody may count on it.
      if (b.job == 0 && s.now < b.requested_at + s.patience.start) ++pool.coming;
      return;
    case BuilderState::ready:
      return pool.ready.push_back(&b);
    case BuilderState::busy:
      ++pool.busy;
      return;
    default:
      return;
  }
}

}  // namespace

void survey(Sight& s) {
  s.pools.resize(s.seen.pools.size());
  s.launching.resize(s.seen.platforms.size());
  s.busy.resize(s.seen.lines);
  for (Index i = 0; i < s.pools.size(); ++i) {
    s.pools[i].view = &s.seen.pools[i];
    if (s.seen.pools[i].numbers.until) s.wake_by(*s.seen.pools[i].numbers.until);
  }
  for (const JobView& v : s.seen.jobs) {
    PoolSight& pool = s.pools[v.pool];
    if (v.job->state == JobState::queued) {
      pool.queued.push_back({v.job, v.line});
      continue;
    }
    ++s.busy[v.line];
    check_end(s, v);
    if (v.job->state == JobState::assigned) hold_refill(s, pool, v.job->assigned_at);
  }
  for (const BuilderView& v : s.seen.builders) {
    count_builder(s, v);
    check_start(s, *v.builder);
  }
  for (PoolSight& pool : s.pools) order_queue(s, pool);
}

}  // namespace mayfly::plan
