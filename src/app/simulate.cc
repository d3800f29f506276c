#include "app/simulate.h"

#include <unistd.h>

#include <fmt/format.h>

#include "app/config.h"
#include "base/text.h"
#include "os/file.h"
#include "simulate/report.h"

namespace mayfly {
namespace {

constexpr std::size_t max_trace = 2ULL << 30;  // bytes

// The pool of jobs that name none.
PoolName fallback_pool(const SimulateRequest& r, const Config& config) {
  if (!r.pool.empty()) return r.pool;
  return config.pools.size() == 1 ? config.pools.begin()->first : PoolName();
}

Result<simulate::Workload> workload_of(const SimulateRequest& r, const Config& config) {
  auto pool = fallback_pool(r, config);
  simulate::Workload w;
  if (r.history) {
    w = simulate::history_workload(*r.history);
    if (w.jobs.empty())
      return fail(ErrorCode::not_found, "none of the daemon's jobs has run, so nobody knows how long they take",
                  "--history");
  } else if (!r.trace.empty()) {
    MAYFLY_ASSIGN(auto text, os::read_file(r.trace, max_trace));
    MAYFLY_ASSIGN(w, simulate::parse_trace(text, r.trace, pool));
  } else {
    if (pool.empty())
      return fail(ErrorCode::invalid, "there are several pools", "--jobs", "Say which one with --pool.");
    w = simulate::uniform_workload(r.jobs, r.duration, r.over, pool);
  }
  if (r.pool.empty()) return w;
  w.demands.clear();
  for (auto index = w.pool(r.pool); auto& j : w.jobs) j.demand = index;
  return w;
}

std::string default_config() {
  for (const char* path : {"mayfly.yaml", "/etc/mayfly/mayfly.yaml"})
    if (::access(path, R_OK) == 0) return path;
  return "mayfly.yaml";
}

}  // namespace

Result<SimulateAnswer> run_simulate(const SimulateRequest& r) {
  auto file = r.config.empty() ? default_config() : r.config;
  MAYFLY_ASSIGN(auto config, load_config(file));
  MAYFLY_ASSIGN(auto workload, workload_of(r, config));
  simulate::Report report;
  report.left_out = workload.left_out;
  if (!r.target.empty()) {
    MAYFLY_ASSIGN(report.target, simulate::parse_target(r.target));
  }
  simulate::Settings settings;
  settings.start = r.start.value_or(settings.start);
  settings.launches = r.launches.value_or(settings.launches);
  settings.resolution = r.resolution ? *r.resolution : simulate::fitting_resolution(config, workload);

  MAYFLY_ASSIGN(auto outcome, simulate::simulate(config, workload, settings));
  report.cases.push_back({file, std::move(outcome)});
  if (!r.compare.empty()) {
    MAYFLY_ASSIGN(auto other, load_config(r.compare));
    MAYFLY_ASSIGN(auto second, simulate::simulate(other, workload, settings));
    report.cases.push_back({r.compare, std::move(second)});
  }
  if (r.find) {
    MAYFLY_ASSIGN(report.found, simulate::find_cheapest(config, workload, settings, *report.target));
    report.cases.push_back({"found", report.found->outcome});
  }
  if (!r.html.empty()) MAYFLY_TRY(os::write_file_atomically(r.html, simulate::report_html(report), 0644));
  // With --find it is what was found that counts, else the configuration that the daemon would run.
  bool met = !report.target || (report.found ? report.found->met : report.target->met(report.cases.front().outcome));
  return SimulateAnswer{r.json ? simulate::report_json(report) : simulate::report_text(report), met};
}

}  // namespace mayfly
