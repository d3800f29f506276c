// Another configuration connects pools to other CIs, or to the same with other settings: no job is lost, and what was
// registered is removed by whoever registered it.
#include "control/core.h"

namespace mayfly {

// By pool; null: the pool's jobs are sent by somebody from now on.
Result<std::map<PoolName, std::shared_ptr<Ci>>> Core::other_cis(const Config& next) const {
  std::map<PoolName, std::shared_ptr<Ci>> out;
  for (const auto& [name, spec] : next.pools) {
    auto old = parts_.config.pools.find(name);
    if (old != parts_.config.pools.end() && old->second.ci == spec.ci && old->second.ci_settings == spec.ci_settings)
      continue;
    if (!parts_.make_ci) continue;
    MAYFLY_ASSIGN(out[name], parts_.make_ci(spec));
  }
  return out;
}

std::map<PoolName, std::shared_ptr<Ci>> Core::connectors_in_force() const {
  std::map<PoolName, std::shared_ptr<Ci>> out;
  for (const auto& [pool, run] : cis_)
    if (parts_.config.pools.contains(pool)) out[pool] = run.ci;
  return out;
}

// Another connector to the same queue takes everything over: it is the one whose credential is good. One to another
// queue begins anew, and the old one is kept for the builders that are registered by it.
void Core::connect_to(const PoolName& pool, std::shared_ptr<Ci> next) {
  auto found = cis_.find(pool);
  if (found == cis_.end() && !next) return;
  std::set<JobId> left;
  if (found != cis_.end()) {
    auto old = found->second.ci;
    bool same = next && next->kind() == old->kind() && next->place() == old->place();
    for (const auto& [id, j] : jobs_)
      if (!same && j.spec.pool == pool && j.state == JobState::queued && connector_of(j) == old) left.insert(id);
    auto hold = [&](const BuilderId& id, const std::string& runner) {
      auto [at, fresh] = at_ci_.try_emplace(id, AtCi{old, {runner}});
      if (same && at->second.ci == old) at->second.ci = next;
    };
    for (const auto& [id, j] : jobs_)
      if (j.spec.pool == pool && from_ci(j) && !j.builder.empty() && !j.external.runner.empty())
        hold(j.builder, j.external.runner);
    if (auto prefix = ci_prefix())
      for (const auto& [id, b] : builders_)
        if (b.pool == pool && b.job != 0) hold(id, runner_name(*prefix, id));
    for (auto& [name, f] : forgetting_)
      if (same && f.pool == pool && f.what.ci == old) f.what.ci = next;
  }
  if (next) {
    cis_[pool] = CiRuntime();
    cis_[pool].ci = std::move(next);
  } else {
    cis_.erase(pool);
  }
  for (JobId id : left) leave(jobs_.at(id));
}

// A job that was fetched from a queue that its pool has no more waits there, not here; a builder would get no
// credential for it.
void Core::end_strays() {
  for (JobId id : std::exchange(strays_, {})) {
    auto found = jobs_.find(id);
    if (found == jobs_.end()) continue;
    Job& j = found->second;
    if (j.state != JobState::queued || !fetched(j) || from_ci(j)) continue;
    leave(j);
  }
}

void Core::leave(Job& j) {
  record("ci.left", "job/" + std::to_string(j.id), "{}");
  end_job(j, JobResult{JobCause::cancelled, 0, 0, "its pool takes its jobs from elsewhere now; at its CI it waits on"});
}

}  // namespace mayfly
