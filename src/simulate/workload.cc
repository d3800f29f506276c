#include "simulate/workload.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include <fmt/format.h>

namespace mayfly::simulate {
namespace {

// A workload has few names: looking at each costs less than a hash.
std::uint32_t index_of(std::vector<std::string>& names, std::string_view name) {
  auto found = std::find(names.rbegin(), names.rend(), name);
  if (found != names.rend()) return static_cast<std::uint32_t>(names.rend() - found - 1);
  names.emplace_back(name);
  return static_cast<std::uint32_t>(names.size() - 1);
}

// The pool in which a job with labels ran is not what it asked for.
Demand demand_of(const Job& j) {
  auto where = fmt::format("job {} of the history", j.id);
  if (j.spec.labels.empty()) return {j.spec.pool, {}, {}, {}, where};
  Demand d{{}, j.spec.labels, j.spec.secrets, j.spec.timeout, where};
  std::sort(d.labels.begin(), d.labels.end());
  std::sort(d.secrets.begin(), d.secrets.end());
  return d;
}

}  // namespace

JobSpec spec_of(const Demand& d) {
  JobSpec spec;
  spec.pool = d.pool, spec.labels = d.labels, spec.secrets = d.secrets, spec.timeout = d.timeout;
  return spec;
}

std::uint32_t Workload::demand(const Demand& wanted) {
  auto same = [&](const Demand& d) {
    return std::tie(d.pool, d.labels, d.secrets, d.timeout) ==
           std::tie(wanted.pool, wanted.labels, wanted.secrets, wanted.timeout);
  };
  auto found = std::find_if(demands.rbegin(), demands.rend(), same);
  if (found != demands.rend()) return static_cast<std::uint32_t>(demands.rend() - found - 1);
  demands.push_back(wanted);
  return static_cast<std::uint32_t>(demands.size() - 1);
}

std::uint32_t Workload::submitter(std::string_view name) { return index_of(submitters, name); }

void Workload::sort() {
  auto earlier = [](const Arrival& a, const Arrival& b) { return a.submitted < b.submitted; };
  if (std::is_sorted(jobs.begin(), jobs.end(), earlier)) return;
  std::vector<std::uint32_t> order(jobs.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::tuple(jobs[a].submitted, a) < std::tuple(jobs[b].submitted, b);
  });
  std::vector<Arrival> sorted;
  sorted.reserve(jobs.size());
  for (auto i : order) sorted.push_back(jobs[i]);
  jobs = std::move(sorted);
}

Time trace_epoch() { return std::chrono::sys_days(std::chrono::year(2026) / 1 / 5); }

Workload uniform_workload(std::size_t count, Duration duration, Duration over, const PoolName& pool) {
  Workload w;
  w.jobs.reserve(count);
  auto in = w.pool(pool), by = w.submitter("");
  for (std::size_t i = 0; i < count; ++i) {
    // Without overflow for any count and any time that the command line takes.
    auto share = static_cast<long double>(i) / static_cast<long double>(count);
    auto offset = Duration(static_cast<std::int64_t>(static_cast<long double>(over.count()) * share));
    w.jobs.push_back({trace_epoch() + offset, duration, in, by, 0});
  }
  return w;
}

Workload history_workload(const std::vector<Job>& jobs) {
  Workload w;
  for (const auto& j : jobs) {
    if (j.started_at == Time{} || j.ended_at < j.started_at) {
      ++w.left_out;
      continue;
    }
    w.jobs.push_back({j.queued_at, j.ended_at - j.started_at, w.demand(demand_of(j)), w.submitter(j.spec.submitter),
                      j.spec.priority});
  }
  w.sort();
  return w;
}

}  // namespace mayfly::simulate
