#include "plan/ci_match.h"

#include <unordered_set>

namespace mayfly::plan {

CiMatch match_ci(const CiQueue& queue, const std::vector<CiHeld>& held) {
  std::unordered_set<std::string> pending(queue.pending.begin(), queue.pending.end());
  std::unordered_set<std::string> over(queue.over.begin(), queue.over.end());
  std::unordered_set<std::string> named;
  std::vector<JobId> loose;
  for (const auto& h : held) {
    bool waits = pending.contains(h.id);
    // Absence proves nothing for what was heard after the question was asked.
    bool gone = over.contains(h.id) || (queue.whole && h.told <= queue.asked_at);
    // Two that name one: the second is as good as loose.
    if (waits ? !named.insert(h.id).second : gone) loose.push_back(h.job);
  }
  CiMatch match;
  std::size_t next = 0;
  for (const auto& id : queue.pending) {
    if (!named.insert(id).second) continue;
    if (next < loose.size())
      match.renamed.emplace_back(loose[next++], id);
    else
      match.create.push_back(id);
  }
  match.surplus.assign(loose.begin() + static_cast<std::ptrdiff_t>(next), loose.end());
  return match;
}

}  // namespace mayfly::plan
