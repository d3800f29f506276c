#include "plan/plan.h"

#include "plan/sight.h"

namespace mayfly::plan {

Plan plan(const Seen& seen, Time now, const Patience& patience) {
  Sight s{seen, now, patience, {}, {}, {}, {}, {}, {}, {}};
  survey(s);
  note_tries(s);
  auto pools = static_cast<Index>(s.pools.size()), platforms = static_cast<Index>(s.platforms.size());
  for (Index i = 0; i < pools; ++i) {
    retire_outdated(s, s.pools[i]);
    if (s.pools[i].needed) judge(s, i);
    tend_rollout(s, i);
  }
  route(s);
  for (Index i = 0; i < pools; ++i) {
    give_up(s, i);
    assign(s, s.pools[i]);
    start(s, i);
    say_why(s, i);
  }
  for (Index i = 0; i < platforms; ++i) reclaim(s, i);
  for (auto& move : s.moves) s.act(std::move(move));
  return std::move(s.plan);
}

}  // namespace mayfly::plan
