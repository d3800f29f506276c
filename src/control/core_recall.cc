// What the daemon before this one had learned of platforms and versions: whatever it learned came from builders, and
// what these came to is in the store. So a restart opens no breaker, lifts no quarantine and grants no launches anew.
// The times are the wall clock's, for nothing else lasts: where that was put on or back meanwhile, a rest is shorter
// or longer by as much, and never longer than a breaker's longest.
#include <algorithm>
#include <tuple>
#include <vector>

#include "control/builder_causes.h"
#include "control/core.h"

namespace mayfly {
namespace {

constexpr std::size_t recalled_builders = 2000;  // the youngest; more than any breaker counts

enum class What { asked_for, ready, not_started, died, job_done };
struct Past {
  Time at;
  What what;
  const Builder* builder;
};

std::vector<Past> past_of(const std::vector<Builder>& builders, Time now) {
  std::vector<Past> out;
  auto add = [&](Time at, What what, const Builder& b) { out.push_back({std::min(at, now), what, &b}); };
  for (const Builder& b : builders) {
    add(b.requested_at, What::asked_for, b);
    if (b.ready_at != Time{}) add(b.ready_at, What::ready, b);
    if (b.cause.starts_with(causes::not_started)) add(b.stopping_at, What::not_started, b);
    if (b.cause.starts_with(causes::went_away) || b.cause.starts_with(causes::refused))
      add(b.stopping_at, What::died, b);
    if (b.cause == causes::job_ended) add(b.stopping_at, What::job_done, b);
  }
  std::sort(out.begin(), out.end(), [](const Past& a, const Past& b) {
    return std::tuple(a.at, builder_number(a.builder->id), a.what) <
           std::tuple(b.at, builder_number(b.builder->id), b.what);
  });
  return out;
}

}  // namespace

Result<void> Core::recall() {
  std::size_t most = recalled_builders;
  for (const auto& [name, spec] : parts_.config.platforms)
    most = std::max(most, 2 * static_cast<std::size_t>(std::max(0, spec.launches_per_minute)));
  MAYFLY_ASSIGN(auto builders, parts_.store.builders(most));
  for (const Past& past : past_of(builders, now())) {
    const Builder& b = *past.builder;
    auto platform = platforms_.find(b.platform);
    if (platform == platforms_.end()) continue;
    switch (past.what) {
      case What::asked_for:
        if (auto& budget = platform->second.budget) {
          budget->refill(parts_.clock.steady() - (now() - past.at));
          budget->take();
        }
        break;
      case What::ready:
        on_ready(b);
        break;
      case What::not_started:
        on_start_failed(b, b.cause.substr(causes::not_started.size()), past.at);
        break;
      case What::died:
        on_builder_died(b, b.cause, past.at);
        break;
      case What::job_done:
        on_job_done(b);
        break;
    }
  }
  return {};
}

}  // namespace mayfly
