// Several pools: labels, preference, weights, a platform's total and its rate, breakers.
#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "plan/plan.h"

namespace mayfly::plan {
namespace {

const Time t0 = from_micros(1'800'000'000'000'000);

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

std::map<std::string, int> starts(const Town& t, const Plan& p) {
  std::map<std::string, int> out;
  for (const auto& a : p.actions)
    if (auto* s = std::get_if<StartBuilder>(&a)) ++out[t.specs[s->pool].name];
  return out;
}

std::map<JobId, Reason> reasons(const Plan& p) {
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
void carry_out(Town& t, const Plan& p) {
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

TEST(Labels, AJobGoesToThePoolThatHasThemAllWhateverTheirCase) {
  Town t;
  t.pool("plain", {"linux"});
  t.pool("gpu", {"Linux", "GPU"});
  t.job({}, {"gpu", "LINUX"});
  EXPECT_EQ(starts(t, t.plan()), (std::map<std::string, int>{{"gpu", 1}}));
}

// Found by tests/simulation: launches that could not begin yet took the turns of those that could.
TEST(Share, APoolWhoseImageIsFetchedKeepsNoRoomFromAnother) {
  Town t;
  t.platforms[0].parallel_launches = 2, t.platforms[0].max = 2;
  t.pool("slow").image = "far-away";
  t.pool("ready");
  for (int i = 0; i < 5; ++i) t.job("slow");
  t.job("ready"), t.job("ready");
  auto seen = t.seen();
  seen.pools[0].versions[0].image = {.ready = false, .in_progress = true};
  EXPECT_EQ(starts(t, plan(seen, t0)), (std::map<std::string, int>{{"ready", 2}}));
}

TEST(Repeat, IsMadeOnAnotherPlatformElseInAnotherPoolElseOnAnotherBuilder) {
  auto pool_of_repeat = [](bool far, bool near, bool far_full = false) {
    Town t;
    t.platform("cloud");
    t.pool("here", {"linux"});
    if (near) t.pool("near", {"linux"}).preference = 1;
    if (far) t.pool("far", {"linux"}, 1).preference = 2;
    if (far && far_full) t.specs.back().max = 0;
    t.job({}, {"linux"}).lost_on = "here-7";
    return starts(t, t.plan()).begin()->first;
  };
  EXPECT_EQ(pool_of_repeat(true, true), "far");
  EXPECT_EQ(pool_of_repeat(false, true), "near");
  EXPECT_EQ(pool_of_repeat(true, true, true), "near");
  EXPECT_EQ(pool_of_repeat(true, false, true), "here") << "waiting for ever is no repeat";
  EXPECT_EQ(pool_of_repeat(false, false), "here");
}

TEST(Share, IdleBuildersGoWhenThePlatformsTotalWasLowered) {
  Town t;
  t.platforms[0].max = 2;
  t.pool("p").warm = 3;
  for (int i = 0; i < 3; ++i) t.builder("p", BuilderState::ready);
  auto plan = t.plan();
  EXPECT_EQ(all<StopBuilder>(plan).size(), 1u);
  EXPECT_TRUE(starts(t, plan).empty());
}

// Found by tests/simulation: an idle builder that no job can use yet was taken for one that a job will have.
TEST(Share, BuildersAheadOfJobsStayBelowMaxWhileTheImageOfOthersIsNotKnown) {
  Town t;
  auto& p = t.pool("p");
  p.warm = 2, p.max = 3;
  t.job("p"), t.job("p");
  t.builder("p", BuilderState::ready).image_version = "img@1.0.0";
  auto seen = t.seen();
  auto rollout = Rollout();
  rollout.state = RolloutState::warming;
  seen.pools[0].versions[0].name = "img@1.1.0", seen.pools[0].versions[0].digest = "sha256:b";
  seen.pools[0].versions.push_back({});
  seen.pools[0].versions[1].name = "img@1.0.0";
  seen.pools[0].rollout = &rollout;
  Patience patience;
  patience.refill = Duration(0);
  EXPECT_LE(starts(t, plan(seen, t0, patience))["p"], 2);
}

TEST(Labels, WhatNoPoolHasIsSaid) {
  Town t;
  t.pool("plain", {"linux"});
  t.job({}, {"windows"});
  auto r = reasons(t.plan()).at(1);
  EXPECT_EQ(r.code, ReasonCode::no_pool);
  EXPECT_NE(r.text.find("windows"), std::string::npos);
}

TEST(Labels, APoolThatMayNotReadTheSecretIsNoneForTheJob) {
  Town t;
  t.pool("a", {"linux"});
  t.pool("b", {"linux"}).secrets = {"token"};
  t.job({}, {"linux"}).spec.secrets = {"token"};
  EXPECT_EQ(starts(t, t.plan()), (std::map<std::string, int>{{"b", 1}}));
}

TEST(Preference, TheNextPoolIsAskedWhenTheFirstIsFull) {
  Town t;
  t.pool("cloud", {"linux"}).preference = 2;
  auto& near = t.pool("near", {"linux"});
  near.preference = 1, near.max = 2;
  for (int i = 0; i < 5; ++i) t.job({}, {"linux"});
  EXPECT_EQ(starts(t, t.plan()), (std::map<std::string, int>{{"near", 2}, {"cloud", 3}}));
}

TEST(Preference, TheNextPoolIsAskedWhenTheFirstCannot) {
  Town t;
  t.platform("away").available = false;
  t.pool("a", {"linux"}, 1);
  t.pool("b", {"linux"});
  t.job({}, {"linux"});
  EXPECT_EQ(starts(t, t.plan()), (std::map<std::string, int>{{"b", 1}}));
}

TEST(Preference, TheNextPoolIsAskedWhenThePlatformOfTheFirstIsFull) {
  Town t;
  t.platforms[0].max = 3;
  t.platform("cloud");
  t.pool("a", {"linux"});
  t.pool("b", {"linux"}, 1).preference = 1;
  for (int i = 0; i < 5; ++i) t.job({}, {"linux"});
  EXPECT_EQ(starts(t, t.plan()), (std::map<std::string, int>{{"a", 3}, {"b", 2}}));
}

TEST(Preference, AJobOfHigherPriorityGetsThePlaceThatBothWant) {
  Town t;
  t.pool("a", {"linux"}).max = 1;
  t.builder("a", BuilderState::ready);
  t.job("a");
  t.job({}, {"linux"}, 5);
  auto assigned = all<AssignJob>(t.plan());
  ASSERT_EQ(assigned.size(), 1u);
  EXPECT_EQ(assigned[0].job, 2u);
}

TEST(Total, IsSharedByWeight) {
  Town t;
  t.platforms[0].max = 8;
  t.pool("a").weight = 3;
  t.pool("b");
  for (int i = 0; i < 20; ++i) t.job("a"), t.job("b");
  auto p = t.plan();
  EXPECT_EQ(starts(t, p), (std::map<std::string, int>{{"a", 6}, {"b", 2}}));
  EXPECT_EQ(reasons(p).at(40).code, ReasonCode::platform_at_max);
}

TEST(Total, OfOneGoesInTurns) {
  Town t;
  t.platforms[0].max = 1;
  t.pool("a");
  t.pool("b");
  t.job("a"), t.job("b");
  EXPECT_EQ(starts(t, t.plan()), (std::map<std::string, int>{{"a", 1}}));
  t.served[0] = 1;
  EXPECT_EQ(starts(t, t.plan()), (std::map<std::string, int>{{"b", 1}}));
}

TEST(Total, IdleBuildersMakeRoomForJobs) {
  Town t;
  t.platforms[0].max = 2;
  t.pool("a").warm = 2;
  t.pool("b");
  t.builder("a", BuilderState::ready), t.builder("a", BuilderState::ready);
  EXPECT_TRUE(t.plan().actions.empty());
  t.job("b");
  auto p = t.plan();
  EXPECT_EQ(all<StopBuilder>(p).size(), 1u);
  EXPECT_TRUE(all<StartBuilder>(p).empty());
  EXPECT_EQ(reasons(p).at(1).code, ReasonCode::platform_at_max);
  carry_out(t, p);
  EXPECT_TRUE(t.plan().actions.empty());  // the one that stops is room enough
  t.builders.pop_back();
  EXPECT_EQ(starts(t, t.plan()), (std::map<std::string, int>{{"b", 1}}));
}

TEST(Launches, AreSharedByPoolsToo) {
  Town t;
  t.platforms[0].parallel_launches = 4;
  t.pool("a"), t.pool("b");
  for (int i = 0; i < 9; ++i) t.job("a"), t.job("b");
  EXPECT_EQ(starts(t, t.plan()), (std::map<std::string, int>{{"a", 2}, {"b", 2}}));
}

TEST(Rate, IsRespectedAndSaid) {
  Town t;
  t.pool("a").max = 100;
  RateBudget budget(6);
  budget.refill(seconds(100));
  for (int i = 0; i < 4; ++i) budget.take();
  t.platforms[0].budget = &budget;
  for (int i = 0; i < 5; ++i) t.job("a");
  auto p = t.plan();
  EXPECT_EQ(starts(t, p), (std::map<std::string, int>{{"a", 2}}));
  auto r = reasons(p);
  EXPECT_EQ(r.at(3).code, ReasonCode::rate_limited);
  EXPECT_NE(r.at(3).text.find("3 launches wait for platform 'local'"), std::string::npos) << r.at(3).text;
  EXPECT_EQ(std::chrono::round<seconds>(*r.at(3).until - t0), seconds(10));
  EXPECT_EQ(std::chrono::round<seconds>(*r.at(5).until - t0), seconds(30));
  EXPECT_EQ(p.wake, r.at(3).until);
}

TEST(RateBudget, FillsEvenlyAndNeverBeyondAMinute) {
  RateBudget b(60);
  b.refill(seconds(1000));
  EXPECT_EQ(b.left(), 60);
  for (int i = 0; i < 60; ++i) b.take();
  EXPECT_EQ(b.left(), 0);
  b.refill(seconds(1003));
  EXPECT_EQ(b.left(), 3);
  b.refill(seconds(9000));
  EXPECT_EQ(b.left(), 60);
}

TEST(Breaker, OpensAfterFailuresInARowAndThenLetsOneTryThrough) {
  Town t;
  t.pool("a");
  Breaker b(3);
  for (int i = 0; i < 3; ++i) b.failed(t0, "no such device");
  t.versions[0].breaker = &b;
  for (int i = 0; i < 3; ++i) t.job("a");
  auto shut = t.plan();
  EXPECT_TRUE(shut.actions.empty());
  EXPECT_EQ(reasons(shut).at(1).code, ReasonCode::breaker_open);
  EXPECT_EQ(reasons(shut).at(1).until, b.until());
  EXPECT_EQ(shut.wake, b.until());
  auto later = b.until();
  EXPECT_EQ(starts(t, t.plan(later)), (std::map<std::string, int>{{"a", 1}}));
  t.builder("a", BuilderState::requested).requested_at = later;
  EXPECT_TRUE(t.plan(later).actions.empty());
  b.failed(later, "no such device");
  EXPECT_EQ(b.until() - later, seconds(60));  // twice as long
  b.succeeded();
  EXPECT_EQ(starts(t, t.plan(later)), (std::map<std::string, int>{{"a", 2}}));
}

TEST(Breaker, OfAHostOpensOnlyWhenSeveralVersionsFail) {
  Breaker host(4, 2);
  for (int i = 0; i < 9; ++i) host.failed(t0, "x", "sha256:one");
  EXPECT_FALSE(host.open(t0));
  host.failed(t0, "x", "sha256:two");
  EXPECT_TRUE(host.open(t0));
  Town t;
  t.pool("a");
  t.job("a");
  t.platforms[0].quarantine = &host;
  EXPECT_EQ(reasons(t.plan()).at(1).code, ReasonCode::quarantined);
}

TEST(Hopeless, AJobWithAnotherPoolToGoToIsNotFailed) {
  Town t;
  t.pool("a", {"linux"}), t.pool("b", {"linux"}).max = 0;
  t.versions[0].starts = {.failed = 5, .problem = "no room", .after = t0 + seconds(60)};
  t.job({}, {"linux"}), t.job("a");
  auto failed = all<FailJob>(t.plan());
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].job, 2u);
}

Town any_town() {
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
    bool by_label = *rc::gen::arbitrary<bool>();
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
  auto t = any_town();
  for (auto& p : t.platforms) p.parallel_launches = 1000;  // the launch limit alone asks for another round
  carry_out(t, t.plan());
  RC_ASSERT(t.plan().actions.empty());
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
