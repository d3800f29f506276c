// What holds of any pools on any platforms with any jobs.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "plan/town_test.h"

namespace mayfly::plan {
namespace {

// That lets one try through now.
const Breaker& half_open(Index platform) {
  static const auto tripped = [] {
    Breaker b(1);
    b.failed(t0 - std::chrono::hours(1), "no such device");
    return b;
  };
  static const Breaker each[] = {tripped(), tripped()};
  return each[platform];
}

// With labels, jobs may choose between pools.
Town any_town(bool with_labels = true) {
  Town t;
  t.platform("cloud");
  for (auto& p : t.platforms) {
    p.parallel_launches = *rc::gen::inRange(1, 20);
    p.max = *rc::gen::element(0, *rc::gen::inRange(1, 15));
  }
  const std::vector<std::string> labels{"x", "y", "z"};
  int pools = *rc::gen::inRange(1, 5);
  for (int i = 0; i < pools; ++i) {
    std::vector<std::string> own;
    for (const auto& l : labels)
      if (*rc::gen::arbitrary<bool>()) own.push_back(l);
    auto& s = t.pool("p" + std::to_string(i), own, *rc::gen::element<Index>(0, 1));
    s.warm = *rc::gen::inRange(0, 3), s.max = s.warm + *rc::gen::inRange(0, 6);
    s.preference = *rc::gen::inRange(0, 3), s.weight = *rc::gen::element(0.5, 1.0, 3.0);
    if (*rc::gen::inRange(0, 4) == 0)
      t.versions[static_cast<Index>(i)].breaker = &half_open(s.platform == "cloud" ? 1 : 0);
  }
  for (const auto& s : t.specs) {
    int n = *rc::gen::inRange(0, s.max + 1);
    for (int i = 0; i < n; ++i) {
      auto state = *rc::gen::element(BuilderState::requested, BuilderState::starting, BuilderState::ready,
                                     BuilderState::busy, BuilderState::stopping);
      t.builder(s.name, state, state == BuilderState::busy ? &t.job(s.name) : nullptr);
    }
  }
  int queued = *rc::gen::inRange(0, 25);
  for (int i = 0; i < queued; ++i) {
    bool by_label = with_labels && *rc::gen::arbitrary<bool>();
    std::vector<std::string> wanted;
    if (by_label) wanted.push_back(*rc::gen::elementOf(labels));
    t.job(by_label ? "" : (*rc::gen::elementOf(t.specs)).name, wanted, *rc::gen::inRange(0, 3),
          *rc::gen::element<std::string>("ann", "bob"));
  }
  return t;
}

RC_GTEST_PROP(Town, NeverAboveAnyMax, ()) {
  auto t = any_town();
  std::vector<int> before{t.alive(0), t.alive(1)};
  std::map<std::string, int> exist;
  for (const auto& b : t.builders) ++exist[b.pool];
  auto p = t.plan();
  for (const auto& [name, n] : starts(t, p)) RC_ASSERT(exist[name] + n <= t.specs[t.index(name)].max);
  auto stops = all<StopBuilder>(p).size();
  carry_out(t, p);
  for (Index i : {0u, 1u}) {
    int more = t.alive(i) - before[i];
    if (t.platforms[i].max > 0) RC_ASSERT(more == 0 || t.alive(i) <= t.platforms[i].max);
    RC_ASSERT(more <= t.platforms[i].parallel_launches);
  }
  static_cast<void>(stops);
}

RC_GTEST_PROP(Town, OneTryAtMostWhereABreakerIsHalfOpen, ()) {
  auto t = any_town();
  for (int round = 0; round < 2; ++round) {
    auto p = t.plan();
    std::map<const Breaker*, int> tries;
    for (const auto& a : all<StartBuilder>(p))
      if (t.versions.contains(a.pool)) ++tries[t.versions.at(a.pool).breaker];
    for (const auto& [breaker, n] : tries) RC_ASSERT(n == 1 && round == 0);
    carry_out(t, p);
  }
}

RC_GTEST_PROP(Town, EveryQueuedJobIsAssignedToAPoolThatMayTakeItOrHasOneReason, ()) {
  auto t = any_town();
  auto s = t.seen();
  auto p = t.plan();
  std::set<JobId> seen;
  std::set<BuilderId> used;
  for (const auto& a : all<AssignJob>(p)) {
    RC_ASSERT(seen.insert(a.job).second);
    RC_ASSERT(used.insert(a.builder).second);
    auto pools = pools_for(t.jobs[a.job - 1].spec, s.pools);
    auto pool = t.index(a.builder.substr(0, a.builder.rfind('-')));
    RC_ASSERT(std::find(pools.begin(), pools.end(), pool) != pools.end());
  }
  for (const auto& w : p.waits) {
    RC_ASSERT(seen.insert(w.job).second);
    auto r = p.reason(w);
    RC_ASSERT(!r.text.empty() && r.code != ReasonCode::none);
  }
  for (const auto& j : t.jobs) RC_ASSERT(seen.contains(j.id) == (j.state == JobState::queued));
}

RC_GTEST_PROP(Town, NothingIsStartedForAJobThatWasCancelled, ()) {
  auto t = any_town();
  for (auto& s : t.specs) s.warm = 0;
  std::erase_if(t.jobs, [](const Job& j) { return j.state == JobState::queued; });  // cancelled: no longer seen
  RC_ASSERT(all<StartBuilder>(t.plan()).empty());
}

RC_GTEST_PROP(Town, PlanningAgainOnThePlannedStateDoesNothing, ()) {
  auto t = any_town(false);
  for (auto& p : t.platforms) p.parallel_launches = 1000;  // the launch limit alone asks for another round
  carry_out(t, t.plan());
  RC_ASSERT(t.plan().actions.empty());
}

// Where jobs choose, one that got a builder puts those behind it in the turn of others, who may choose otherwise now.
RC_GTEST_PROP(Town, PlanningAgainComesToRest, ()) {
  auto t = any_town();
  for (auto& p : t.platforms) p.parallel_launches = 1000;
  int rounds = 0;
  for (auto p = t.plan(); !p.actions.empty(); p = t.plan()) {
    RC_ASSERT(++rounds <= 4);
    carry_out(t, p);
  }
}

RC_GTEST_PROP(Town, MoreJobsNeverMeanFewerServed, ()) {
  auto t = any_town();
  auto served = [](const Plan& p) { return all<StartBuilder>(p).size() + all<AssignJob>(p).size(); };
  auto before = served(t.plan());
  t.job(t.specs.front().name);
  RC_ASSERT(served(t.plan()) >= before);
}

RC_GTEST_PROP(Town, NobodyWaitsForeverForASharedPlatform, ()) {
  Town t;
  t.platforms[0].max = *rc::gen::inRange(1, 4);
  int pools = *rc::gen::inRange(2, 5);
  std::vector<double> weight;
  for (int i = 0; i < pools; ++i) {
    weight.push_back(*rc::gen::element(1.0, 2.0, 5.0));
    t.pool("p" + std::to_string(i)).weight = weight.back();
  }
  std::vector<int> ran(static_cast<std::size_t>(pools));
  double platform = 0;
  // All want more all the time, and a builder lives for one round.
  for (int round = 0; round < 60; ++round) {
    t.jobs.clear(), t.builders.clear();
    for (int i = 0; i < pools; ++i)
      for (int n = 0; n < 5; ++n) t.job("p" + std::to_string(i));
    t.platforms[0].served = platform;
    for (const auto& s : all<StartBuilder>(t.plan())) {
      platform = std::max(platform, t.served[s.pool]);
      t.served[s.pool] = platform + 1 / weight[s.pool];
      ++ran[s.pool];
    }
  }
  double all_weights = 0, all_runs = 0;
  for (double w : weight) all_weights += w;
  for (int n : ran) all_runs += n;
  // Whoever has none goes first, so with few places a heavy pool may get less than its weight; nobody gets nothing.
  for (std::size_t i = 0; i < ran.size(); ++i)
    RC_ASSERT(ran[i] >= 0.5 * all_runs * std::min(weight[i] / all_weights, 1.0 / pools) - 2);
}

}  // namespace
}  // namespace mayfly::plan
