#include "plan/sight.h"

namespace mayfly::plan {
namespace {

void count_builder(Sight& s, const BuilderView& v) {
  const Builder& b = *v.builder;
  PoolSight& pool = s.pools[v.pool];
  PlatformSight* platform = v.platform == nowhere ? nullptr : &s.platforms[v.platform];
  ++pool.exist;
  if (platform) ++platform->exist;
  if (b.state == BuilderState::stopping) {
    ++pool.stopping;
    if (platform) ++platform->stopping;
    return;
  }
  if (b.state == BuilderState::ready) return pool.ready.push_back({&b, version_of(*pool.view, b)});
  if (b.state == BuilderState::busy) {
    ++pool.busy;
    return;
  }
  if (b.state == BuilderState::requested && platform) ++platform->launching;
  // One past its deadline is given up in this very plan: nobody may count on it.
  if (b.job != 0 || s.now >= v.since + s.patience.start) return;
  ++pool.coming;
  if (pool.view->rollout && version_of(*pool.view, b) == 1) ++pool.coming_new;
}

void look_at_jobs(Sight& s) {
  for (const JobView& v : s.seen.jobs) {
    if (v.job->state == JobState::queued) {
      s.waiting[v.demand].push_back({v.job, v.demand, v.line, s.seen.lines[v.line].served});
      continue;
    }
    ++s.busy[v.line];
    check_end(s, v);
    if (v.job->state != JobState::assigned || v.pool == nowhere) continue;
    auto& refill_at = s.pools[v.pool].refill_at;
    if (Time until = v.since + s.patience.refill; until > s.now) refill_at = std::max(refill_at.value_or(until), until);
  }
}

}  // namespace

Index version_of(const PoolView& view, const Builder& b) {
  for (Index i = 0; i < view.versions.size(); ++i) {
    const auto& v = view.versions[i];
    if (b.image_version == v.name && (v.digest.empty() || b.image_digest == v.digest)) return i;
  }
  return nowhere;
}

void survey(Sight& s) {
  s.pools.resize(s.seen.pools.size());
  s.platforms.resize(s.seen.platforms.size());
  s.busy.resize(s.seen.lines.size());
  s.waiting.resize(s.seen.demands.size());
  for (Index i = 0; i < s.platforms.size(); ++i) s.platforms[i].view = &s.seen.platforms[i];
  for (Index i = 0; i < s.pools.size(); ++i) {
    const PoolView& view = s.seen.pools[i];
    s.pools[i].view = &view;
    if (view.platform != nowhere) s.platforms[view.platform].pools.push_back(i);
    if (view.numbers.until) s.wake_by(*view.numbers.until);
  }
  look_at_jobs(s);
  for (const BuilderView& v : s.seen.builders) {
    count_builder(s, v);
    check_start(s, v);
  }
  for (PoolSight& pool : s.pools) pool.needed = pool.idle_wanted() > 0 || wants_proof(pool);
  for (Index d = 0; d < s.waiting.size(); ++d) {
    if (s.waiting[d].empty()) continue;
    order_queue(s, s.waiting[d]);
    for (Index pool : s.seen.demands[d].pools) s.pools[pool].needed = true;
  }
}

}  // namespace mayfly::plan
