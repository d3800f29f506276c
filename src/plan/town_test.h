#pragma once
#include <algorithm>
#include <map>

#include <gtest/gtest.h>

#include "plan/plan.h"

namespace mayfly::plan {

inline const Time t0 = from_micros(1'800'000'000'000'000);

// Pools on platforms, that a test fills in. Jobs name a pool or labels.
struct Town {
  std::vector<PoolSpec> specs;
  std::vector<PlatformView> platforms;
  std::vector<Job> jobs;
  std::vector<Builder> builders;
  std::map<Index, double> served;  // by pool
  std::map<Index, VersionView> versions;

  Town() {
    specs.reserve(20), jobs.reserve(2000), builders.reserve(2000);
    platform("local");
  }
  PlatformView& platform(const std::string& name) {
    auto& p = platforms.emplace_back();
    p.name = name;
    p.parallel_launches = 100;
    return p;
  }
  PoolSpec& pool(const std::string& name, std::vector<std::string> labels = {}, Index platform = 0) {
    auto& s = specs.emplace_back();
    s.name = name, s.image = "img", s.platform = platforms[platform].name, s.labels = std::move(labels);
    return s;
  }
  Job& job(const std::string& pool, std::vector<std::string> labels = {}, int priority = 0,
           const std::string& who = "ann") {
    auto& j = jobs.emplace_back();
    j.id = jobs.size();
    j.spec.pool = pool, j.spec.labels = std::move(labels), j.spec.priority = priority, j.spec.submitter = who;
    return j;
  }
  Builder& builder(const std::string& pool, BuilderState state, Job* job = nullptr) {
    auto& b = builders.emplace_back();
    b.id = pool + "-" + std::to_string(builders.size());
    b.pool = pool, b.image = "img", b.state = state, b.requested_at = t0;
    if (!job) return b;
    b.job = job->id;
    job->state = JobState::running, job->spec.pool = pool, job->started_at = t0;
    return b;
  }
  Index index(const std::string& pool) const {
    for (Index i = 0; i < specs.size(); ++i)
      if (specs[i].name == pool) return i;
    return nowhere;
  }
  Seen seen() const {
    Seen s;
    s.platforms = platforms;
    for (Index i = 0; i < specs.size(); ++i) {
      auto& v = s.pools.emplace_back();
      v.name = specs[i].name, v.spec = &specs[i];
      v.numbers = {specs[i].warm, specs[i].min, specs[i].max, {}, {}};
      for (Index p = 0; p < platforms.size(); ++p)
        if (platforms[p].name == specs[i].platform) v.platform = p;
      v.versions.resize(1);
      if (versions.contains(i)) v.versions[0] = versions.at(i);
      v.versions[0].image.ready = true;
      v.served = served.contains(i) ? served.at(i) : 0;
    }
    std::map<std::pair<std::vector<Index>, std::vector<std::string>>, Index> demands;
    std::map<std::pair<Index, std::string>, Index> lines;
    for (const Job& j : jobs) {
      auto pools = pools_for(j.spec, s.pools);
      auto [d, fresh] = demands.try_emplace({pools, j.spec.labels}, static_cast<Index>(s.demands.size()));
      if (fresh) s.demands.push_back({pools, j.spec.labels.empty() ? "" : j.spec.labels.front()});
      auto [l, new_line] = lines.try_emplace({d->second, j.spec.submitter}, static_cast<Index>(s.lines.size()));
      if (new_line) s.lines.emplace_back();
      bool queued = j.state == JobState::queued;
      s.jobs.push_back({j.id, &j, d->second, l->second, queued ? nowhere : index(j.spec.pool), j.started_at});
    }
    for (const Builder& b : builders)
      s.builders.push_back({builder_number(b.id), &b, index(b.pool), s.pools[index(b.pool)].platform, b.requested_at});
    return s;
  }
  Plan plan(Time now = t0) const {
    Patience patience;
    patience.refill = Duration(0);
    return plan::plan(seen(), now, patience);
  }
  int alive(Index platform) const {
    return static_cast<int>(std::count_if(builders.begin(), builders.end(), [&](const Builder& b) {
      return specs[index(b.pool)].platform == platforms[platform].name;
    }));
  }
};

inline std::map<std::string, int> starts(const Town& t, const Plan& p) {
  std::map<std::string, int> out;
  for (const auto& a : p.actions)
    if (auto* s = std::get_if<StartBuilder>(&a)) ++out[t.specs[s->pool].name];
  return out;
}

inline std::map<JobId, Reason> reasons(const Plan& p) {
  std::map<JobId, Reason> out;
  for (const auto& w : p.waits) out.emplace(w.job, p.reason(w));
  return out;
}

template <class A>
std::vector<A> all(const Plan& p) {
  std::vector<A> out;
  for (const auto& a : p.actions)
    if (auto* x = std::get_if<A>(&a)) out.push_back(*x);
  return out;
}

// Carried out, and every launch went well.
inline void carry_out(Town& t, const Plan& p) {
  for (const auto& a : all<AssignJob>(p))
    for (auto& b : t.builders)
      if (b.id == a.builder) {
        auto& j = t.jobs[a.job - 1];
        b.state = BuilderState::busy, b.job = a.job;
        j.state = JobState::running, j.spec.pool = b.pool, j.started_at = t0;
      }
  for (const auto& a : all<StopBuilder>(p))
    for (auto& b : t.builders)
      if (b.id == a.builder) b.state = BuilderState::stopping;
  for (const auto& a : all<StartBuilder>(p)) t.builder(t.specs[a.pool].name, BuilderState::requested);
}

}  // namespace mayfly::plan
