// Which job goes to which pool and builder, and which builders nobody may use.
#include <fmt/format.h>

#include "plan/sight.h"

namespace mayfly::plan {
namespace {

std::string why_retire(const Sight& s, const PoolSight& pool, const Idle& idle) {
  const Builder& b = *idle.builder;
  if (!pool.view->spec) return "its pool is no longer configured";
  if (b.image_version.empty() && b.image != pool.view->spec->image) return "its pool uses another image now";
  if (!b.shape.empty() && b.shape != pool.view->shape) return "its pool's configuration was changed";
  if (s.seen.shutting_down) return "the daemon is stopping";
  if (pool.view->versions.empty()) return "its pool has no version to run";
  if (pool.in(RolloutState::watching) && idle.version != 1)
    return fmt::format("{} has taken over", pool.view->versions[1].name);
  if (idle.version == nowhere && b.image_version.empty()) return "its image was built anew";
  if (idle.version == nowhere) return fmt::format("its pool runs {} now", pool.view->versions.front().name);
  if (pool.view->numbers.refresh && b.requested_at < *pool.view->numbers.refresh)
    return "idle builders are refreshed by the schedule";
  if (b.requested_at + s.patience.ready <= s.now) return "it waited too long for a job";
  return {};
}

// Takes a place of this pool for one more job, if it has one. Once platforms have been shared out, a pool has what it
// was granted, and what its platform has left.
bool take_place(Sight& s, PoolSight& pool, bool shared) {
  int beyond = static_cast<int>(pool.queued.size()) - pool.at_hand();
  if (beyond < 0) return true;
  int room = std::min(pool.room(), pool.one_at_a_time() ? 1 : unlimited);
  if (!pool.may_start() || s.seen.shutting_down || beyond >= room) return false;
  if (!shared || beyond < pool.granted) return true;
  PlatformSight& platform = s.platforms[pool.view->platform];
  if (platform.has_claimed(pool.tries)) return false;  // by another pool
  int& slack = platform.slack;
  if (slack != unlimited && slack-- <= 0) return slack = 0, false;
  return true;
}

// A job that was lost with its builder is repeated elsewhere, whatever was wrong there: on another platform if one has
// a place for it, else in another pool. The same pool gives it another builder, which is all there is on one machine.
std::vector<Index> elsewhere_first(const Sight& s, const Queued& q) {
  auto choice = s.seen.demands[q.demand].pools;
  const auto& lost = q.job->lost_on;
  auto pool = std::string_view(lost).substr(0, lost.rfind('-'));
  auto was = std::find_if(choice.begin(), choice.end(), [&](Index i) { return s.seen.pools[i].name == pool; });
  if (was == choice.end()) return choice;
  auto nearness = [&, there = *was](Index i) {
    return i == there ? 2 : s.seen.pools[i].platform == s.seen.pools[there].platform ? 1 : 0;
  };
  std::vector<Index> out;
  for (int near : {0, 1, 2})
    std::copy_if(choice.begin(), choice.end(), std::back_inserter(out), [&](Index i) { return nearness(i) == near; });
  return out;
}

// All rank jobs alike, so each in turn takes the pool that it likes best of those that are not full yet: no job then
// waits for a place that one behind it has got.
void place(Sight& s, const std::vector<Queued>& jobs, bool shared) {
  for (const Queued& q : jobs) {
    std::vector<Index> elsewhere;
    if (!q.job->lost_on.empty()) elsewhere = elsewhere_first(s, q);
    const auto& choice = q.job->lost_on.empty() ? s.seen.demands[q.demand].pools : elsewhere;
    auto free = std::find_if(choice.begin(), choice.end(), [&](Index i) { return take_place(s, s.pools[i], shared); });
    s.pools[free != choice.end() ? *free : choice.front()].queued.push_back(q);
  }
}

// Pools that several demands compete for, or that jobs may choose between: their jobs have to be looked at together.
std::vector<bool> contested(const Sight& s) {
  std::vector<int> demands(s.pools.size());
  std::vector<bool> out(s.pools.size());
  for (Index d = 0; d < s.waiting.size(); ++d)
    if (!s.waiting[d].empty())
      for (Index pool : s.seen.demands[d].pools) ++demands[pool];
  for (Index d = 0; d < s.waiting.size(); ++d) {
    const auto& pools = s.seen.demands[d].pools;
    if (!s.waiting[d].empty())
      for (Index pool : pools) out[pool] = out[pool] || pools.size() > 1 || demands[pool] > 1;
  }
  return out;
}

}  // namespace

void retire_outdated(Sight& s, PoolSight& pool) {
  std::erase_if(pool.ready, [&](const Idle& idle) {
    auto why = why_retire(s, pool, idle);
    if (!why.empty()) s.act(StopBuilder{idle.builder->id, why});
    return !why.empty();
  });
  pool.usable = static_cast<int>(std::count_if(
      pool.ready.begin(), pool.ready.end(), [&](const Idle& i) { return pool.view->versions[i.version].image.ready; }));
}

void route(Sight& s) {
  auto together = contested(s);
  std::vector<Queued> choosy;
  for (Index d = 0; d < s.waiting.size(); ++d) {
    const auto& pools = s.seen.demands[d].pools;
    if (s.waiting[d].empty()) continue;
    if (pools.empty()) {
      Index cause =
          s.cause({ReasonCode::no_pool, "no pool has the labels '" + s.seen.demands[d].labels +
                                            "' and allows what it asks for; add such a pool or cancel the job"});
      int ahead = 0;
      for (const Queued& q : s.waiting[d]) s.wait(q, nowhere, ahead++, cause);
    } else if (together[pools.front()]) {
      choosy.insert(choosy.end(), s.waiting[d].begin(), s.waiting[d].end());
    } else {
      s.pools[pools.front()].queued = std::move(s.waiting[d]);
    }
  }
  std::sort(choosy.begin(), choosy.end(), served_before);
  place(s, choosy, false);
  auto share_all = [&] {
    for (Index i = 0; i < s.platforms.size(); ++i) share(s, i);
  };
  share_all();
  // Where a platform has not enough for all, jobs that can go elsewhere do; which may fill another platform.
  bool limited = std::any_of(s.platforms.begin(), s.platforms.end(), [](const auto& p) { return p.view->max > 0; }) ||
                 std::any_of(s.pools.begin(), s.pools.end(), [](const auto& p) { return p.one_at_a_time(); });
  for (int round = 0; limited && !choosy.empty() && round < 3; ++round) {
    for (Index i = 0; i < s.pools.size(); ++i)
      if (together[i]) s.pools[i].queued.clear();
    place(s, choosy, true);
    share_all();
  }
}

// Those first that a job may go to. Candidates get jobs only where the old version has no builder left; but no job
// waits beside a ready builder.
void order_ready(PoolSight& pool) {
  bool warming = pool.in(RolloutState::warming);
  if (!warming && pool.usable == static_cast<int>(pool.ready.size())) return;
  auto rank = [&](const Idle& i) {
    bool usable = pool.view->versions[i.version].image.ready;
    return std::pair(!usable ? 2 : warming && i.version == 1 ? 1 : 0, builder_number(i.builder->id));
  };
  std::sort(pool.ready.begin(), pool.ready.end(), [&](const Idle& a, const Idle& b) { return rank(a) < rank(b); });
}

void assign(Sight& s, PoolSight& pool) {
  // More than those for jobs, and more than are to be idle: nothing waits for them.
  auto kept = static_cast<std::size_t>(pool.idle_wanted()) + pool.queued.size();
  if (pool.view->rollout) trim_rollout(s, pool);
  order_ready(pool);
  while (!pool.view->rollout && pool.ready.size() > kept) {
    s.act(StopBuilder{pool.ready.back().builder->id, "nothing waits for it"});
    pool.ready.pop_back();
  }
  // A job's order needs what the image says; after a restart that is not known at once.
  auto n = static_cast<std::size_t>(std::count_if(
      pool.ready.begin(), pool.ready.end(), [&](const Idle& i) { return pool.view->versions[i.version].image.ready; }));
  n = s.seen.shutting_down ? 0 : std::min(pool.queued.size(), n);
  if (n == 0) return;
  if (Time until = s.now + s.patience.refill; until > s.now)
    pool.refill_at = std::max(pool.refill_at.value_or(until), until);
  for (std::size_t i = 0; i < n; ++i) s.act(AssignJob{pool.queued[i].job->id, pool.ready[i].builder->id});
  auto end = static_cast<std::ptrdiff_t>(n);
  pool.queued.erase(pool.queued.begin(), pool.queued.begin() + end);
  pool.ready.erase(pool.ready.begin(), pool.ready.begin() + end);
  pool.usable -= static_cast<int>(n);
}

}  // namespace mayfly::plan
