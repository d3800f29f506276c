#include "control/roster.h"

#include <algorithm>

#include "base/result.h"

namespace mayfly {

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

void Roster::add(const Job& job) {
  auto index = pool(job.spec.pool);
  Line& line = lines_[{index, job.spec.submitter}];
  if (line.jobs++ == 0) {
    if (free_lines_.empty()) free_lines_.push_back(seen_.lines++);
    line.index = free_lines_.back();
    free_lines_.pop_back();
  }
  MAYFLY_CHECK(seen_.jobs.empty() || seen_.jobs.back().id < job.id);
  seen_.jobs.push_back({job.id, &job, index, line.index});
}

void Roster::remove(const Job& job) {
  auto at = std::lower_bound(seen_.jobs.begin(), seen_.jobs.end(), job.id,
                             [](const plan::JobView& v, JobId id) { return v.id < id; });
  MAYFLY_CHECK(at != seen_.jobs.end() && at->job == &job);
  auto line = lines_.find({at->pool, job.spec.submitter});
  if (--line->second.jobs == 0) {
    free_lines_.push_back(line->second.index);
    lines_.erase(line);
  }
  at->job = nullptr;
  jobs_left_ = true;
}

void Roster::add(const Builder& b) {
  auto number = builder_number(b.id);
  MAYFLY_CHECK(seen_.builders.empty() || seen_.builders.back().number < number);
  seen_.builders.push_back({number, &b, pool(b.pool), platform(b.platform)});
}

void Roster::remove(const Builder& b) {
  auto at = std::lower_bound(seen_.builders.begin(), seen_.builders.end(), builder_number(b.id),
                             [](const plan::BuilderView& v, std::uint64_t number) { return v.number < number; });
  MAYFLY_CHECK(at != seen_.builders.end() && at->builder == &b);
  at->builder = nullptr;
  builders_left_ = true;
}

const plan::Seen& Roster::look(bool shutting_down) {
  if (std::exchange(jobs_left_, false)) std::erase_if(seen_.jobs, [](const auto& v) { return !v.job; });
  if (std::exchange(builders_left_, false)) std::erase_if(seen_.builders, [](const auto& v) { return !v.builder; });
  seen_.shutting_down = shutting_down;
  return seen_;
}

}  // namespace mayfly
