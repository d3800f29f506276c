#include "control/roster.h"

#include <algorithm>

#include "base/result.h"
#include "base/text.h"

namespace mayfly {
namespace {

// One more user of this key; the first one gets it an index, that of a key that nobody uses any more if there is one.
template <class Map, class Key, class Values>
plan::Index use(Map& map, const Key& key, std::vector<plan::Index>& free, Values& values, bool& fresh) {
  auto& counted = map[key];
  fresh = counted.users++ == 0;
  if (!fresh) return counted.index;
  if (free.empty()) {
    free.push_back(static_cast<plan::Index>(values.size()));
    values.emplace_back();
  }
  counted.index = free.back();
  free.pop_back();
  values[counted.index] = {};
  return counted.index;
}

template <class Map, class Key>
void unuse(Map& map, const Key& key, std::vector<plan::Index>& free) {
  auto at = map.find(key);
  MAYFLY_CHECK(at != map.end());
  if (--at->second.users > 0) return;
  free.push_back(at->second.index);
  map.erase(at);
}

}  // namespace

plan::Index Roster::pool(const PoolName& name) {
  auto [at, fresh] = pools_.try_emplace(name, static_cast<plan::Index>(seen_.pools.size()));
  if (fresh) seen_.pools.emplace_back().name = name;
  return at->second;
}

plan::Index Roster::platform(const std::string& name) {
  auto [at, fresh] = platforms_.try_emplace(name, static_cast<plan::Index>(seen_.platforms.size()));
  if (fresh) {
    auto& view = seen_.platforms.emplace_back();
    view.name = name;
    view.available = false;
    view.problem = "it is not set up";
  }
  return at->second;
}

// A job that names its pool has that one, whatever else it asks for: it was checked when it came.
Roster::Need Roster::need_of(const JobSpec& spec) {
  if (spec.labels.empty()) return {spec.pool, {}, {}, {}};
  Need n{{}, spec.labels, spec.secrets, spec.timeout};
  std::sort(n.labels.begin(), n.labels.end());
  std::sort(n.secrets.begin(), n.secrets.end());
  return n;
}

JobSpec Roster::spec_of(const Need& need) {
  JobSpec s;
  s.pool = need.pool, s.labels = need.labels, s.secrets = need.secrets, s.timeout = need.timeout;
  return s;
}

void Roster::pools_changed() {
  for (const auto& [need, counted] : demands_)
    seen_.demands[counted.index].pools = plan::pools_for(spec_of(need), seen_.pools);
}

void Roster::add(const Job& job) {
  if (!job.spec.pool.empty()) pool(job.spec.pool);
  bool fresh = false;
  auto need = need_of(job.spec);
  auto demand = use(demands_, need, free_demands_, seen_.demands, fresh);
  if (fresh) seen_.demands[demand] = {plan::pools_for(spec_of(need), seen_.pools), join(job.spec.labels, ", ")};
  auto line = use(lines_, LineKey{demand, job.spec.submitter}, free_lines_, seen_.lines, fresh);
  MAYFLY_CHECK(seen_.jobs.empty() || seen_.jobs.back().id < job.id);
  seen_.jobs.push_back({job.id, &job, demand, line, plan::nowhere, {}});
  moved(job, job.started_at != Time{} ? job.started_at : job.assigned_at);
}

plan::JobView& Roster::view_of(const Job& job) {
  auto at = std::lower_bound(seen_.jobs.begin(), seen_.jobs.end(), job.id,
                             [](const plan::JobView& v, JobId id) { return v.id < id; });
  MAYFLY_CHECK(at != seen_.jobs.end() && at->job == &job);
  return *at;
}

void Roster::moved(const Job& job, Time since) {
  auto& v = view_of(job);
  bool queued = job.state == JobState::queued;
  v.pool = queued ? plan::nowhere : pool(job.spec.pool);
  v.since = since;
  if (job.state == JobState::assigned) seen_.lines[v.line].served = ++served_;
}

void Roster::remove(const Job& job) {
  auto& v = view_of(job);
  unuse(lines_, LineKey{v.demand, job.spec.submitter}, free_lines_);
  unuse(demands_, need_of(job.spec), free_demands_);
  v.job = nullptr;
  jobs_left_ = true;
}

plan::Index Roster::queue_of(const Job& job) {
  const auto& pools = seen_.demands[view_of(job).demand].pools;
  return pools.empty() ? plan::nowhere : pools.front();
}

void Roster::add(const Builder& b) {
  auto number = builder_number(b.id);
  MAYFLY_CHECK(seen_.builders.empty() || seen_.builders.back().number < number);
  seen_.builders.push_back({number, &b, pool(b.pool), platform(b.platform), b.requested_at});
}

plan::BuilderView& Roster::view_of(const Builder& b) {
  auto at = std::lower_bound(seen_.builders.begin(), seen_.builders.end(), builder_number(b.id),
                             [](const plan::BuilderView& v, std::uint64_t number) { return v.number < number; });
  MAYFLY_CHECK(at != seen_.builders.end() && at->builder == &b);
  return *at;
}

void Roster::moved(const Builder& b, Time since) { view_of(b).since = since; }

void Roster::remove(const Builder& b) {
  view_of(b).builder = nullptr;
  builders_left_ = true;
}

void Roster::shift(Duration by) {
  for (auto& v : seen_.jobs)
    if (v.since != Time{}) v.since += by;
  for (auto& v : seen_.builders) v.since += by;
  for (auto& pool : seen_.pools)
    for (auto& version : pool.versions) {
      if (version.image.retry_at) *version.image.retry_at += by;
      if (version.starts.after) *version.starts.after += by;
    }
}

const plan::Seen& Roster::look(bool shutting_down) {
  if (std::exchange(jobs_left_, false)) std::erase_if(seen_.jobs, [](const auto& v) { return !v.job; });
  if (std::exchange(builders_left_, false)) std::erase_if(seen_.builders, [](const auto& v) { return !v.builder; });
  seen_.shutting_down = shutting_down;
  return seen_;
}

}  // namespace mayfly
