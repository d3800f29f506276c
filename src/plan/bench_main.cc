// How long one plan takes over as many pools and builders as Mayfly is meant for, and how much memory all that takes.
// `make bench-plan` runs it; docs/PERFORMANCE.md has the figures.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include "plan/plan.h"

namespace mayfly::plan {
namespace {

const Time t0 = from_micros(1'800'000'000'000'000);

// `pools` pools of `each` builders: most are busy, some idle, some starting; in every pool a few jobs wait, so that
// each part of the plan has something to do.
struct World {
  std::vector<PoolSpec> specs;
  std::vector<Job> jobs;
  std::vector<Builder> builders;
  Seen seen;

  World(Index pools, int each) {
    specs.resize(pools);
    seen.pools.resize(pools);
    for (Index i = 0; i < 10; ++i)
      seen.platforms.push_back({.name = fmt::format("platform-{}", i), .problem = {}, .parallel_launches = 100});
    jobs.reserve(pools * static_cast<std::size_t>(each + 10));
    builders.reserve(pools * static_cast<std::size_t>(each));
    for (Index i = 0; i < pools; ++i) add_pool(i, each);
    for (Index i = 0; i < pools; ++i)
      for (int n = 0; n < 10; ++n) add_job(i, n, JobState::queued);
  }

  void add_pool(Index i, int each) {
    PoolSpec& s = specs[i];
    s.name = fmt::format("pool-{}", i);
    s.image = "registry.example/builders/general:2";
    s.platform = seen.platforms[i % 10].name;
    s.warm = 5;
    s.max = each + 5;
    auto& v = seen.pools[i];
    v.name = s.name, v.spec = &s, v.platform = i % 10;
    v.numbers = {s.warm, s.min, s.max, {}, {}};
    v.versions.resize(1);
    v.versions[0].image.ready = true;
    seen.demands.push_back({{i}, {}});
    for (int n = 0; n < each; ++n) {
      bool busy = n % 20 != 0;
      if (busy) add_job(i, n, JobState::running);
      Builder b;
      b.id = fmt::format("{}-{}", s.name, builders.size() + 1);
      b.pool = s.name, b.platform = s.platform, b.image = s.image;
      b.state = busy ? BuilderState::busy : n % 40 == 0 ? BuilderState::ready : BuilderState::starting;
      b.job = busy ? jobs.back().id : 0;
      b.requested_at = t0;
      builders.push_back(std::move(b));
      seen.builders.push_back({builders.size(), &builders.back(), i, i % 10, t0});
    }
  }

  void add_job(Index pool, int n, JobState state) {
    Job j;
    j.id = jobs.size() + 1;
    j.spec.pool = specs[pool].name;
    j.spec.priority = n % 3;
    j.state = state;
    j.assigned_at = j.started_at = t0;
    jobs.push_back(std::move(j));
    Index line = pool * 3 + static_cast<Index>(n % 3);
    Index settled = state == JobState::queued ? nowhere : pool;
    seen.jobs.push_back({jobs.back().id, &jobs.back(), pool, line, settled, t0});
    seen.lines.resize(std::max<std::size_t>(seen.lines.size(), line + 1));
  }
};

void one_plan(benchmark::State& state) {
  World w(static_cast<Index>(state.range(0)), static_cast<int>(state.range(1)));
  std::size_t actions = 0, waits = 0;
  for (auto _ : state) {
    auto p = plan(w.seen, t0 + seconds(1));
    actions = p.actions.size(), waits = p.waits.size();
  }
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  state.counters["builders"] = static_cast<double>(w.builders.size());
  state.counters["actions"] = static_cast<double>(actions);
  state.counters["waits"] = static_cast<double>(waits);
  state.counters["peak_MB"] = static_cast<double>(used.ru_maxrss) / 1024;
}
BENCHMARK(one_plan)->Args({3, 33})->Args({1000, 100})->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mayfly::plan

BENCHMARK_MAIN();
