// The order in which a pool's queued jobs are served: higher priority first; within a priority submitters take turns,
// so that a thousand jobs of one do not make another's single job wait for all of them; then first come, first served.
#include <tuple>

#include "plan/sight.h"

namespace mayfly::plan {

void order_queue(Sight& s, PoolSight& pool) {
  if (pool.queued.size() < 2) return;
  auto before = [](const Queued& a, const Queued& b) {
    return std::tuple(-a.job->spec.priority, a.turn, a.job->id) < std::tuple(-b.job->spec.priority, b.turn, b.job->id);
  };
  // They come by id, and mostly with one priority.
  if (!std::is_sorted(pool.queued.begin(), pool.queued.end(), before))
    std::sort(pool.queued.begin(), pool.queued.end(), before);
  // A line's n-th job waits behind everybody's (n-1)-th; jobs that have a builder already count as served.
  bool one_line = true;
  for (Queued& q : pool.queued) {
    q.turn = s.busy[q.line]++;
    one_line = one_line && q.line == pool.queued.front().line;
  }
  for (const Queued& q : pool.queued) --s.busy[q.line];
  if (one_line) return;
  std::sort(pool.queued.begin(), pool.queued.end(), before);
}

}  // namespace mayfly::plan
