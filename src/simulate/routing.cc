#include "simulate/routing.h"

#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "plan/plan.h"

namespace mayfly::simulate {
namespace {

constexpr std::size_t max_errors = 20;

std::string no_such_pool(const Config& config, const PoolName& name) {
  const auto names = keys_of(config.pools);
  auto near = nearest(name, names);
  return fmt::format("there is no pool '{}' in the configuration. {}", name,
                     near ? fmt::format("Did you mean '{}'?", *near)
                          : fmt::format("There are: {}. With --pool all jobs go to one of them.", join(names, ", ")));
}

std::string no_such_labels(const Config& config, const Demand& d, const std::vector<plan::PoolView>& pools) {
  JobSpec job;
  job.labels = d.labels;
  if (!plan::pools_for(job, pools).empty())
    return fmt::format("no pool with the labels '{}' allows the secrets and the timeout that the job had",
                       join(d.labels, ", "));
  std::set<std::string> all;
  for (const auto& [name, spec] : config.pools) all.insert(spec.labels.begin(), spec.labels.end());
  auto known = all.empty() ? std::string("No pool has any.")
                           : "Pools have: " + join(std::vector<std::string>(all.begin(), all.end()), ", ") + ".";
  return fmt::format("no pool has the labels '{}'. {} With --pool all jobs go to one pool.", join(d.labels, ", "),
                     known);
}

}  // namespace

Result<std::vector<std::vector<PoolName>>> route(const Config& config, const Workload& workload) {
  const auto views = plan::views_of(config);
  std::vector<std::vector<PoolName>> out;
  std::vector<std::string> errors;
  for (const auto& d : workload.demands) {
    auto& names = out.emplace_back();
    for (auto index : plan::pools_for(spec_of(d), views)) names.push_back(views[index].name);
    if (!names.empty() || errors.size() == max_errors) continue;
    auto what = d.labels.empty() ? no_such_pool(config, d.pool) : no_such_labels(config, d, views);
    errors.push_back(d.where.empty() ? what : d.where + ": " + what);
  }
  if (!errors.empty()) return fail(ErrorCode::not_found, join(errors, "\n"));
  return out;
}

}  // namespace mayfly::simulate
