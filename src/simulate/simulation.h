#pragma once
// The daemon's own Core, with its planner, on a simulated clock: what would have happened to these jobs under this
// configuration. Deterministic: the same input gives the same outcome.
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/pool.h"
#include "simulate/series.h"
#include "simulate/workload.h"

namespace mayfly::simulate {

struct Settings {
  Duration start = milliseconds(15);  // from the wish for a builder to its being ready
  int launches = 4;                   // builders that a platform starts at once, as the local one does
  // Arrivals and ends are moved onto a grid of this width, so that one step of control serves many; 0: each at its own
  // instant. What it does to a wait is at most about its width.
  Duration resolution{};
};

struct PoolOutcome {
  PoolName name;
  int warm = 0, max = 0;
  double price = 0;  // per builder-hour
  std::size_t jobs = 0;
  std::vector<Duration> waits;  // sorted; of the jobs that ran
  int most_builders = 0;
  std::size_t builders = 0;  // that were started
  Duration builder_time{};   // all of their lives together, within the time simulated
  Duration busy_time{};      // of which with a job
  double cost() const { return price * std::chrono::duration<double, std::ratio<3600>>(builder_time).count(); }
};

struct Outcome {
  Time begin{}, end{};  // from the first job's submission to the last job's end
  std::size_t jobs = 0, timed_out = 0, failed = 0;
  std::vector<Duration> waits;            // sorted; from submission to the start of the job's process
  std::vector<PoolOutcome> pools;         // those that have jobs or builders, by name
  std::map<ReasonCode, Duration> waited;  // all jobs' waiting time, by what they waited for
  Series builders, busy, queued;
  int most_builders = 0, most_queued = 0;
  std::uint64_t steps = 0;  // of control
  Duration resolution{};
  Duration span() const { return end - begin; }
  Duration builder_time() const;
  double cost() const;
};

// The `share` quantile by nearest rank: the smallest value that at least this share of all does not exceed.
Duration quantile(const std::vector<Duration>& sorted, double share);

// The width of the grid that lets a workload be simulated within some twenty seconds; 0 where it needs none.
Duration fitting_resolution(const Config& config, const Workload& workload);

// Fails for a pool that the configuration does not have, and for labels that none of its pools has.
Result<Outcome> simulate(const Config& config, const Workload& workload, const Settings& settings);

}  // namespace mayfly::simulate
