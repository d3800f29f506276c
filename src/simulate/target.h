#pragma once
// "p95 wait <= 30s": what a simulation is to meet, and the cheapest builders that do.
#include <map>
#include <optional>
#include <string>

#include "simulate/simulation.h"

namespace mayfly::simulate {

struct Target {
  double share = 1;  // of the waits that must be within the limit
  Duration limit{};
  std::string text;  // as given
  Duration reached(const std::vector<Duration>& sorted) const { return quantile(sorted, share); }
  // A job that never started meets no target.
  bool met(const Outcome& o) const { return o.failed == 0 && reached(o.waits) <= limit; }
};

// "pNN wait <= TIME" or "max wait <= TIME"; "<" means the same.
Result<Target> parse_target(std::string_view text);

struct Found {
  bool met = false;  // false: not even with as many builders as there are jobs at once, all of them warm
  Config config;     // with `warm`, `max` and `schedule` of each pool that has jobs as they were found
  Outcome outcome;
  int simulations = 0;
  std::optional<Outcome> constant;  // what the same would take with `warm` at all hours; none: nothing is scheduled
};

// The cheapest `warm` of each pool with jobs, and for that the smallest `max`, that meet the target in every one of
// these pools; where jobs can choose between pools, in these together, the dearest made small first. Waits fall as
// either grows and an idle warm builder is what costs, so both are found by halving. Where warm builders are needed and
// the jobs are those of two days or more, they are kept warm only in the hours in which that is cheaper.
//
// What the configuration's own schedules say of warm, min and max is left out; they may refresh.
Result<Found> find_cheapest(const Config& config, const Workload& workload, const Settings& settings,
                            const Target& target);

}  // namespace mayfly::simulate
