#pragma once
// "p95 wait <= 30s": what a simulation is to meet, and the cheapest builders that do.
#include <map>
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
  Config config;     // with `warm` and `max` of each pool that has jobs as they were found
  Outcome outcome;
  int simulations = 0;
};

// The cheapest `warm` of each pool with jobs, and for that the smallest `max`, that meet the target in every one of
// these pools; where jobs can choose between pools, in these together, the dearest made small first. Waits fall as
// either grows and an idle warm builder is what costs, so both are found by halving.
Result<Found> find_cheapest(const Config& config, const Workload& workload, const Settings& settings,
                            const Target& target);

}  // namespace mayfly::simulate
