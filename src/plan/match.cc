// Which job goes to which builder, and which builders nothing will need.
#include "plan/sight.h"

namespace mayfly::plan {
namespace {

std::string why_retire(const Sight& s, const PoolSight& pool, const Builder& b) {
  if (!pool.view->spec) return "its pool is no longer configured";
  if (b.image != pool.view->spec->image) return "its pool uses another image now";
  if (!b.shape.empty() && b.shape != pool.view->shape) return "its pool's configuration was changed";
  if (s.seen.shutting_down) return "the daemon is stopping";
  if (pool.view->numbers.refresh && b.requested_at < *pool.view->numbers.refresh)
    return "idle builders are refreshed by the schedule";
  return {};
}

}  // namespace

// Idle builders that nothing will need: of another image than the pool's, of a removed pool, or more than asked for.
void retire_idle(Sight& s, PoolSight& pool) {
  if (pool.ready.empty()) return;
  std::erase_if(pool.ready, [&](const Builder* b) {
    auto why = why_retire(s, pool, *b);
    if (!why.empty()) s.act(StopBuilder{b->id, why});
    return !why.empty();
  });
  auto wanted = pool.view->spec ? static_cast<std::size_t>(std::max(0, pool.idle_wanted())) + pool.queued.size() : 0;
  while (pool.ready.size() > wanted) {
    s.act(StopBuilder{pool.ready.back()->id, "nothing waits for it"});
    pool.ready.pop_back();
  }
}

void assign(Sight& s, PoolSight& pool) {
  // A job's order needs what the image says; after a restart that is not known at once.
  if (s.seen.shutting_down || pool.view->versions.empty() || !pool.view->versions.front().image.ready) return;
  auto n = static_cast<std::ptrdiff_t>(std::min(pool.queued.size(), pool.ready.size()));
  if (n == 0) return;
  if (Time until = s.now + s.patience.refill; until > s.now)
    pool.refill_at = std::max(pool.refill_at.value_or(until), until);
  for (std::ptrdiff_t i = 0; i < n; ++i)
    s.act(AssignJob{pool.queued[static_cast<std::size_t>(i)].job->id, pool.ready[static_cast<std::size_t>(i)]->id});
  pool.queued.erase(pool.queued.begin(), pool.queued.begin() + n);
  pool.ready.erase(pool.ready.begin(), pool.ready.begin() + n);
}

}  // namespace mayfly::plan
