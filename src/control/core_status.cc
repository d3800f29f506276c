// What the daemon is doing, for people: the pools, and why their jobs wait.
#include <algorithm>
#include <tuple>

#include <fmt/format.h>

#include "base/text.h"
#include "control/core.h"

namespace mayfly {

Status Core::status() {
  Status s;
  s.started_at = started_at_;
  s.notice = store_problem_.empty() ? "" : "the store cannot be written to: " + store_problem_;
  if (s.notice.empty() && shutting_down_)
    s.notice = draining_ ? "the daemon is draining: running jobs finish, nothing new is started, and then it ends"
                         : "the daemon is stopping: nothing new is started";
  for (const auto& [name, p] : platforms_)
    if (const auto& view = roster_.platform_view(name); s.notice.empty() && !view.problem.empty())
      s.notice = fmt::format("platform '{}' takes no builders: {}", name, view.problem);
  std::map<PoolName, PoolStatus*> at;
  s.pools.reserve(parts_.config.pools.size());
  see();
  for (const auto& [name, spec] : parts_.config.pools) {
    const auto& view = roster_.pool_view(name);
    PoolStatus& p = s.pools.emplace_back();
    at[name] = &p;
    p.spec = spec;
    p.spec.warm = view.numbers.warm;
    p.spec.min = view.numbers.min;
    p.spec.max = view.numbers.max;
    if (auto stands = pool_versions_.find(name); stands != pool_versions_.end() && stands->second.current) {
      p.version = stands->second.current->text();
      if (const auto& r = stands->second.rollout; r && !is_over(r->state))
        p.rollout = fmt::format("{}{} {}: {}", r->paused ? "paused on its way to " : "on its way to ", r->to.text(),
                                to_string(r->state), r->why);
    }
    if (p.rollout.empty()) p.rollout = view.held;
    if (view.versions.empty()) {
      p.problem = !view.held.empty() ? view.held : "no version that it follows was released";
      continue;
    }
    const auto& version = view.versions.front();
    p.image_digest = version.digest;
    p.problem = !version.image.problem.empty() ? version.image.problem
                : version.starts.failed > 0    ? version.starts.problem
                                               : "";
    if (auto* ci = ci_of(name); p.problem.empty() && ci && !ci->problem.empty()) p.problem = "its CI: " + ci->problem;
    if (auto* ci = ci_of(name); p.problem.empty() && ci) p.problem = ci->notice;
  }
  sum_up_waits(at);
  for (const auto& [id, b] : builders_) {
    auto p = at.find(b.pool);
    if (p == at.end()) continue;
    p->second->starting += b.state == BuilderState::requested || b.state == BuilderState::starting;
    p->second->ready += b.state == BuilderState::ready;
    p->second->busy += b.state == BuilderState::busy;
    p->second->stopping += b.state == BuilderState::stopping;
  }
  return s;
}

void Core::sum_up_waits(std::map<PoolName, PoolStatus*>& pools) {
  struct Group {
    int jobs = 0;
    const Job* oldest = nullptr;
  };
  std::map<std::pair<PoolStatus*, ReasonCode>, Group> groups;
  for (const auto& [id, j] : jobs_) {
    auto waits = j.state == JobState::queued ? waits_in(j) : plan::nowhere;
    if (waits == plan::nowhere) continue;
    auto pool = pools.find(roster_.seen().pools[waits].name);
    if (pool == pools.end()) continue;
    ++pool->second->queued;
    Group& g = groups[{pool->second, j.waiting.code}];
    ++g.jobs;
    if (!g.oldest || j.waiting.since < g.oldest->waiting.since) g.oldest = &j;
  }
  for (const auto& [key, g] : groups) key.first->waits.push_back({with_reason(*g.oldest).waiting, g.jobs});
  for (auto& [name, pool] : pools)
    std::sort(pool->waits.begin(), pool->waits.end(), [](const auto& a, const auto& b) {
      return std::tie(b.jobs, a.reason.code) < std::tie(a.jobs, b.reason.code);
    });
}

Result<PoolExplanation> Core::explain_pool(const PoolName& name) {
  auto found = parts_.config.pools.find(name);
  if (found == parts_.config.pools.end()) {
    const auto names = keys_of(parts_.config.pools);
    auto near = nearest(name, names);
    return fail(ErrorCode::not_found, fmt::format("there is no pool '{}'", name), {},
                near ? fmt::format("Did you mean '{}'?", *near) : fmt::format("Pools: {}.", join(names, ", ")));
  }
  PoolExplanation e;
  for (auto& p : status().pools)
    if (p.spec.name == name) e.status = std::move(p);
  plan::Schedule schedule(found->second);
  e.numbers = schedule.sources(now());
  e.numbers_until = schedule.at(now()).until;
  const auto& starts = pools_.at(name).starts;
  e.starts.assign(starts.begin(), starts.end());
  for (const auto& [id, b] : builders_)
    if (b.pool == name) e.builders.push_back(b);
  std::sort(e.builders.begin(), e.builders.end(),
            [](const auto& a, const auto& b) { return builder_number(a.id) < builder_number(b.id); });
  return e;
}

}  // namespace mayfly
