// How many builders each pool starts: what is missing, within its max, its platform's total, and what the platform may
// launch at once and in a minute. Where pools compete they share by weight.
#include <queue>
#include <tuple>

#include <fmt/format.h>

#include "plan/rollout.h"
#include "plan/sight.h"

namespace mayfly::plan {
namespace {

int missing_for_jobs(const Sight& s, const PoolSight& pool) {
  if (!pool.may_start() || s.seen.shutting_down) return 0;
  int missing = std::max(0, static_cast<int>(pool.queued.size()) - pool.at_hand());
  return std::min({missing, pool.room(), pool.one_at_a_time() ? 1 : unlimited});
}

int missing_idle(Sight& s, const PoolSight& pool) {
  if (!pool.may_start() || s.seen.shutting_down) return 0;
  int there = pool.coming + static_cast<int>(pool.ready.size()), demand = static_cast<int>(pool.queued.size());
  int missing = std::max(0, pool.idle_wanted() - std::max(0, there - demand));
  // While candidates start, it is they who take the place of the idle builders that jobs took.
  bool tried = pool.in(RolloutState::warming) || wants_proof(pool);
  if (tried && !pool.view->rollout->paused && can_start(s, pool, 1))
    missing = std::max(0, candidates(s, pool) - missing_for_jobs(s, pool));
  else
    missing = std::max(missing, candidates(s, pool));
  int room = pool.room() - missing_for_jobs(s, pool);
  bool handing_over = pool.usable > 0 && demand > 0 && !pool.ready.empty() && s.patience.refill > Duration(0);
  if (handing_over || (pool.refill_at && *pool.refill_at > s.now)) return 0;
  return std::max(0, std::min({missing, room, pool.one_at_a_time() ? 1 - pool.granted : unlimited}));
}

// Hands out one builder after another: to the pool that has the fewest for its weight, of equal ones to that which was
// served less.
class Turns {
 public:
  Turns(const Sight& s, const PlatformSight& platform) : s_(s), platform_(platform) {}
  void add(Index i, int wants) {
    if (wants <= 0) return;
    const PoolSight& pool = s_.pools[i];
    const PoolView& view = *pool.view;
    double weight = view.spec->weight;
    waiting_.push(
        {(pool.exist + pool.granted) / weight, std::max(view.served, platform_.view->served), i, wants, 1 / weight});
  }
  bool empty() const { return waiting_.empty(); }
  Index next() {
    Turn t = waiting_.top();
    waiting_.pop();
    t.load += t.step, t.served += t.step;
    if (--t.wants > 0) waiting_.push(t);
    return t.pool;
  }

 private:
  struct Turn {
    double load, served;
    Index pool;
    int wants;
    double step;
    bool operator<(const Turn& o) const {
      return std::tuple(load, served, pool) > std::tuple(o.load, o.served, o.pool);
    }
  };
  const Sight& s_;
  const PlatformSight& platform_;
  std::priority_queue<Turn> waiting_;
};

// Which version each of a pool's launches gets, in turn.
class Versions {
 public:
  Versions(const Sight& s, const PoolSight& pool)
      : pool_(pool),
        fresh_(candidates(s, pool)),
        shared_(pool.in(RolloutState::canary) && can_start(s, pool, 0) && can_start(s, pool, 1)) {}
  Index next() {
    if (!pool_.view->rollout) return 0;
    bool canary = shared_ && canary_turn(*pool_.view->rollout, pool_.view->spec->rollout, more_[0], more_[1]);
    Index version = fresh_-- > 0 ? 1 : shared_ ? (canary ? 1 : 0) : pool_.main;
    ++more_[version];
    return version;
  }

 private:
  const PoolSight& pool_;
  int fresh_;
  bool shared_;
  int more_[2] = {0, 0};
};

// Its start is the one try of each of these, unless another pool has had one's.
bool claim(PlatformSight& platform, const std::vector<const Breaker*>& tries) {
  if (platform.has_claimed(tries)) return false;
  platform.claimed.insert(tries.begin(), tries.end());
  return true;
}

}  // namespace

void share(Sight& s, Index index) {
  PlatformSight& platform = s.platforms[index];
  int left = platform.left(), now = std::min(platform.slots(), platform.tokens());
  Turns jobs(s, platform), later(s, platform), idle(s, platform);
  auto can_now = [&](Index i) { return s.pools[i].blocked.code == ReasonCode::none; };
  std::vector<std::pair<Index, int>> wants;
  platform.claimed.clear();
  for (Index i : platform.pools) {
    PoolSight& pool = s.pools[i];
    pool.granted = pool.starts = pool.idle_starts = 0;
    if (int n = pool.needed ? missing_for_jobs(s, pool) : 0; n > 0) wants.emplace_back(i, n);
  }
  for (auto [i, n] : wants) (can_now(i) ? jobs : later).add(i, n);
  // Where the platform has room for all only those are handed out one by one that start now.
  while (!jobs.empty() && left > 0 && (now > 0 || left != unlimited)) {
    PoolSight& pool = s.pools[jobs.next()];
    if (!claim(platform, pool.tries)) continue;
    ++pool.granted;
    if (left != unlimited) --left;
    if (now > 0) --now, ++pool.starts;
  }
  // Those whose image is still being made ready get what is left: they must not keep room that others could use.
  for (; !later.empty() && left > 0 && left != unlimited; --left) ++s.pools[later.next()].granted;
  if (left == unlimited)
    for (auto [i, n] : wants)
      if (!s.pools[i].one_at_a_time()) s.pools[i].granted = n;
  platform.slack = left;
  if (now <= 0 || left <= 0) return;
  for (Index i : platform.pools)
    if (s.pools[i].needed && can_now(i)) idle.add(i, missing_idle(s, s.pools[i]));
  while (!idle.empty() && now > 0 && left > 0) {
    PoolSight& pool = s.pools[idle.next()];
    if (!claim(platform, pool.tries)) continue;
    ++pool.idle_starts, --now;
    if (left != unlimited) --left;
  }
}

void start(Sight& s, Index index) {
  PoolSight& pool = s.pools[index];
  Versions versions(s, pool);
  for (int i = 0; i < pool.starts; ++i) s.act(StartBuilder{index, versions.next(), false, "a job waits"});
  auto why = pool.idle_wanted() > 0 || !pool.view->rollout
                 ? fmt::format("the pool keeps {} ready", pool.idle_wanted())
                 : fmt::format("it shows whether {} comes up, before a job needs it", pool.view->versions[1].name);
  for (int i = 0; i < pool.idle_starts; ++i) s.act(StartBuilder{index, versions.next(), true, why});
  if (pool.refill_at && *pool.refill_at > s.now && pool.idle_wanted() > 0) s.wake_by(*pool.refill_at);
}

// A platform that is full of builders that wait for jobs must not keep another pool's jobs waiting; and after its total
// was lowered, idle builders go first.
void reclaim(Sight& s, Index index) {
  PlatformSight& platform = s.platforms[index];
  if (platform.left() == unlimited) return;
  int beyond = std::max(0, platform.exist - platform.view->max), wanted = beyond - platform.stopping;
  for (Index i : platform.pools) {
    const PoolSight& pool = s.pools[i];
    if (pool.needed && pool.blocked.code == ReasonCode::none) wanted += missing_for_jobs(s, pool) - pool.granted;
  }
  auto load = [&](Index i) { return s.pools[i].exist / std::max(1e-9, s.pools[i].view->spec->weight); };
  std::vector<Index> givers;
  for (Index i : platform.pools)
    if (s.pools[i].view->spec && !s.pools[i].ready.empty() && s.pools[i].queued.empty()) givers.push_back(i);
  while (wanted > 0 && !givers.empty()) {
    auto most = std::max_element(givers.begin(), givers.end(), [&](Index a, Index b) { return load(a) < load(b); });
    PoolSight& pool = s.pools[*most];
    s.act(StopBuilder{pool.ready.back().builder->id, beyond-- > 0
                                                         ? "its platform has more builders than its total"
                                                         : "its platform is full, and another pool's jobs wait"});
    pool.ready.pop_back();
    --pool.exist, --wanted;
    if (pool.ready.empty()) givers.erase(most);
  }
}

}  // namespace mayfly::plan
