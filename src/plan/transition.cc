// A pool on its way from one version to another: which version its builders get, and which of them go.
#include <fmt/format.h>

#include "plan/rollout.h"
#include "plan/sight.h"

namespace mayfly::plan {
namespace {

void stop_youngest(Sight& s, PoolSight& pool, Index version, const std::string& why) {
  auto at = std::find_if(pool.ready.rbegin(), pool.ready.rend(), [&](const Idle& i) { return i.version == version; });
  s.act(StopBuilder{at->builder->id, why});
  pool.ready.erase(std::next(at).base());
}

// How many more builders the pool's own limit and its platform's total leave it.
int room_for(const Sight& s, const PoolSight& pool) {
  int platform = pool.view->platform == nowhere ? 0 : s.platforms[pool.view->platform].left();
  return std::min(pool.room(), platform);
}

// A full pool, or platform, has no place for a candidate beside the old version's idle builders: one of them goes, and
// only one at a time, so that the others serve on.
bool must_make_room(const Sight& s, const PoolSight& pool) {
  return pool.queued.empty() && pool.stopping == 0 && pool.coming == 0 && room_for(s, pool) == 0 &&
         pool.ready_of(0) > 0 && pool.ready_of(1) < pool.idle_wanted() && can_start(s, pool, 1) &&
         !pool.view->rollout->paused;
}

// The builders that show that the new version comes up: as many as the pool keeps idle, if there is room for so many.
int to_be_ready(const Sight& s, const PoolSight& pool) {
  int there = static_cast<int>(pool.ready.size()) + pool.coming;
  return std::min(wants_proof(pool) ? 1 : pool.idle_wanted(), there + room_for(s, pool));
}

void prepare(Sight& s, Index index) {
  const PoolView& view = *s.pools[index].view;
  const ImageView& image = view.versions[1].image;
  if (image.ready || image.in_progress || s.seen.shutting_down) return;
  if (view.platform == nowhere || !s.seen.platforms[view.platform].available) return;
  if (image.retry_at && s.now < *image.retry_at) return s.wake_by(*image.retry_at);
  s.act(PrepareImage{index, 1});
}

}  // namespace

void tend_rollout(Sight& s, Index index) {
  PoolSight& pool = s.pools[index];
  if (!pool.view->rollout || !pool.view->spec) return;
  prepare(s, index);
  if (const auto& after = pool.view->versions[1].starts.after; after && s.now < *after) s.wake_by(*after);
  RolloutSight sight{.wanted = to_be_ready(s, pool),
                     .new_ready = pool.ready_of(1),
                     .old_ready = pool.ready_of(0),
                     .old_coming = pool.coming - pool.coming_new,
                     .room = pool.view->platform == nowhere || s.platforms[pool.view->platform].left() > 0,
                     .image = pool.view->versions[1].image,
                     .starts = pool.view->versions[1].starts,
                     .failed_images = s.patience.failed_images};
  auto step = next_step(*pool.view->rollout, pool.view->spec->rollout, sight, s.now);
  if (step.wake) s.wake_by(*step.wake);
  if (step.next && !s.seen.shutting_down) s.moves.push_back({index, *step.next, step.why});
}

Index main_version(const Sight& s, const PoolSight& pool) {
  if (!pool.view->rollout) return 0;
  if (pool.in(RolloutState::watching)) return 1;
  // Somebody returned to this version because of the other; or the other cannot be started, and a job waits.
  bool rather_new = pool.view->rollout->asked || !can_start(s, pool, 0);
  return rather_new && can_start(s, pool, 1) ? 1 : 0;
}

// Where nothing is kept idle the next job would be the first to find out that a version does not come up, perhaps days
// after it was called good. Who returns to a version by hand knows that it did.
bool wants_proof(const PoolSight& pool) {
  const Rollout* r = pool.view->rollout;
  if (!r || r->paused || r->asked || !pool.view->spec || pool.idle_wanted() > 0 || r->new_tally.ready > 0) return false;
  return pool.in(RolloutState::warming) || pool.in(RolloutState::watching);
}

int candidates(const Sight& s, const PoolSight& pool) {
  if (!pool.view->rollout || pool.view->rollout->paused || !can_start(s, pool, 1)) return 0;
  if (wants_proof(pool)) return std::max(0, 1 - pool.ready_of(1) - pool.coming_new);
  if (pool.in(RolloutState::warming)) return std::max(0, pool.idle_wanted() - pool.ready_of(1) - pool.coming_new);
  // A pool of idle builders launches nothing of which a canary could have its share.
  bool first = pool.in(RolloutState::canary) && pool.view->rollout->new_tally.launched == 0 && pool.idle_wanted() > 0;
  return first && pool.coming_new == 0 ? 1 : 0;
}

void trim_rollout(Sight& s, PoolSight& pool) {
  const std::string needless = "nothing waits for it";
  int idle = std::max(0, pool.idle_wanted()), queued = static_cast<int>(pool.queued.size());
  int olds = pool.ready_of(0), news = pool.ready_of(1);
  if (pool.in(RolloutState::warming)) {
    for (; news > idle + std::max(0, queued - olds); --news) stop_youngest(s, pool, 1, needless);
    for (; olds > idle + queued; --olds) stop_youngest(s, pool, 0, needless);
    if (must_make_room(s, pool))
      stop_youngest(s, pool, 0, fmt::format("it makes room for a candidate of {}", pool.view->versions[1].name));
    return;
  }
  for (; olds + news > idle + queued; olds > 0 ? --olds : --news) stop_youngest(s, pool, olds > 0 ? 0 : 1, needless);
}

}  // namespace mayfly::plan
