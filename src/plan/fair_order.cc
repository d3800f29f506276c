#include <algorithm>
#include <tuple>

#include "plan/plan.h"

namespace mayfly::plan {

std::vector<const Job*> fair_order(std::vector<const Job*> queued, std::map<std::string, int> busy) {
  // Within a priority, a submitter's n-th job waits behind everybody's (n-1)-th; jobs running already count as served.
  std::sort(queued.begin(), queued.end(), [](const Job* a, const Job* b) {
    return std::tuple(-a->spec.priority, a->id) < std::tuple(-b->spec.priority, b->id);
  });
  struct Ranked {
    int priority, turn;
    const Job* job;
  };
  std::vector<Ranked> ranked;
  ranked.reserve(queued.size());
  for (const Job* job : queued) ranked.push_back({job->spec.priority, busy[job->spec.submitter]++, job});
  std::sort(ranked.begin(), ranked.end(), [](const Ranked& a, const Ranked& b) {
    return std::tuple(-a.priority, a.turn, a.job->id) < std::tuple(-b.priority, b.turn, b.job->id);
  });
  std::vector<const Job*> out;
  out.reserve(ranked.size());
  for (const auto& r : ranked) out.push_back(r.job);
  return out;
}

}  // namespace mayfly::plan
