// The order in which queued jobs are served: higher priority first; within a priority submitters take turns, so that a
// thousand jobs of one do not make another's single job wait for all of them; whoever was served longest ago goes
// first; then first come, first served.
#include <tuple>

#include "plan/sight.h"

namespace mayfly::plan {

bool served_before(const Queued& a, const Queued& b) {
  return std::tuple(-a.job->spec.priority, a.turn, a.served, a.job->id) <
         std::tuple(-b.job->spec.priority, b.turn, b.served, b.job->id);
}

void order_queue(Sight& s, std::vector<Queued>& queue) {
  // They come by id, and mostly with one priority.
  auto before = [](const Queued& a, const Queued& b) {
    return std::tuple(-a.job->spec.priority, a.job->id) < std::tuple(-b.job->spec.priority, b.job->id);
  };
  if (!std::is_sorted(queue.begin(), queue.end(), before)) std::sort(queue.begin(), queue.end(), before);
  // A line's n-th job waits behind everybody's (n-1)-th; jobs that have a builder already count as served.
  bool one_line = true;
  for (Queued& q : queue) {
    q.turn = s.busy[q.line]++;
    one_line = one_line && q.line == queue.front().line;
  }
  for (const Queued& q : queue) --s.busy[q.line];
  if (!one_line) std::sort(queue.begin(), queue.end(), served_before);
}

}  // namespace mayfly::plan
