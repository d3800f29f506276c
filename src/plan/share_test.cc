// Several pools: labels, preference, weights, a platform's total and its rate, breakers.
#include "plan/town_test.h"

namespace mayfly::plan {
namespace {

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
  seen.pools[0].versions[0].image = {.ready = false, .in_progress = true, .problem = {}, .retry_at = {}};
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

TEST(Breaker, LetsOneTryThroughWhicheverPoolsStartTheSame) {
  Town t;
  t.pool("a"), t.pool("b"), t.pool("c").warm = 1;
  Breaker b(1);
  b.failed(t0, "no such device");
  for (Index i : {0u, 1u, 2u}) t.versions[i].breaker = &b;
  for (const char* pool : {"a", "a", "b", "b"}) t.job(pool);
  auto once = t.plan(b.until());
  EXPECT_EQ(all<StartBuilder>(once).size(), 1u);
  std::map<ReasonCode, int> waits;
  for (const auto& [job, reason] : reasons(once)) ++waits[reason.code];
  EXPECT_EQ(waits, (std::map<ReasonCode, int>{{ReasonCode::builder_starting, 1}, {ReasonCode::breaker_open, 3}}));
  carry_out(t, once);
  EXPECT_TRUE(all<StartBuilder>(t.plan(b.until())).empty());
}

TEST(Breaker, ATryIsNotWastedOnAPoolThatNeedsNone) {
  Town t;
  t.pool("a"), t.pool("b");
  Breaker b(1);
  b.failed(t0, "no such device");
  t.versions[0].breaker = t.versions[1].breaker = &b;
  t.job("b");
  EXPECT_EQ(starts(t, t.plan(b.until())), (std::map<std::string, int>{{"b", 1}}));
}

// Found by PlanningAgainOnThePlannedStateDoesNothing.
TEST(Breaker, AJobThatCanGoElsewhereDoesNotWaitForTheTryOfAnotherPool) {
  Town t;
  t.platform("cloud");
  t.pool("full", {"y"}).max = 0;
  t.pool("other").warm = 1;
  t.pool("healthy", {"y"}, 1);
  t.pool("same", {"x"});
  t.pool("healthy-too", {"x"}, 1);
  Breaker b(1);
  b.failed(t0, "no such device");
  for (const char* pool : {"full", "other", "same"}) t.versions[t.index(pool)].breaker = &b;
  t.job("other"), t.job({}, {"y"}), t.job({}, {"x"});
  EXPECT_EQ(starts(t, t.plan(b.until())),
            (std::map<std::string, int>{{"other", 1}, {"healthy", 1}, {"healthy-too", 1}}));
}

TEST(Breaker, OfAHostLetsOneTryThroughToo) {
  Breaker host(2, 2);
  host.failed(t0, "x", "sha256:one"), host.failed(t0, "x", "sha256:two");
  Town t;
  t.pool("a"), t.pool("b");
  t.platforms[0].quarantine = &host;
  for (const char* pool : {"a", "a", "b"}) t.job(pool);
  EXPECT_TRUE(all<StartBuilder>(t.plan()).empty());
  auto once = t.plan(host.until());
  EXPECT_EQ(all<StartBuilder>(once).size(), 1u);
  carry_out(t, once);
  host.succeeded();
  EXPECT_EQ(all<StartBuilder>(t.plan(host.until())).size(), 2u);
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

}  // namespace
}  // namespace mayfly::plan
