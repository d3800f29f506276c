#pragma once
// What a simulation is fed with: jobs that come at certain times and take a certain time each.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/job.h"

namespace mayfly::simulate {

struct Arrival {
  Time submitted{};
  Duration duration{};
  std::uint32_t demand = 0, submitter = 0;  // into the lists of the workload: a million jobs share a few
  int priority = 0;
};

// What jobs ask for: a pool, or labels. What a job with labels needs of its pool besides is known of a history only.
struct Demand {
  PoolName pool;
  std::vector<std::string> labels, secrets;  // sorted
  std::optional<Duration> timeout;
  std::string where;  // that it was first asked for: "day.csv:17"; for errors
};

// A job's specification with just that in it.
JobSpec spec_of(const Demand& demand);

struct Workload {
  std::vector<Demand> demands;
  std::vector<std::string> submitters;
  std::vector<Arrival> jobs;  // in the order of their submission
  std::size_t left_out = 0;   // of a history: jobs that never ran, so that nobody knows how long they take

  // Its index; added where it is new.
  std::uint32_t demand(const Demand& wanted);
  std::uint32_t pool(const PoolName& name) { return demand({name, {}, {}, {}, {}}); }
  std::uint32_t submitter(std::string_view name);
  void sort();  // stable: jobs of the same instant keep their order
};

// Where times that a trace gives in seconds begin: a Monday, 00:00 UTC.
Time trace_epoch();

// `count` jobs of one duration, all at once or evenly over `over`.
Workload uniform_workload(std::size_t count, Duration duration, Duration over, const PoolName& pool);

// Jobs that a daemon has run.
Workload history_workload(const std::vector<Job>& jobs);

// A trace: CSV with a header that names the columns `submitted` (RFC 3339, or seconds), `duration` (such as 90s, or
// seconds), and optionally `pool`, `labels` (with blanks or semicolons between them; in quotes also commas),
// `submitter`, `priority`, in any order. Lines need not be in order. A job with neither pool nor labels gets
// `fallback`. Errors name file and line, up to twenty at once.
Result<Workload> parse_trace(std::string_view text, const std::string& filename, const PoolName& fallback);

}  // namespace mayfly::simulate
