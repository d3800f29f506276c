#include "plan/config_change.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/config_facts.h"

namespace mayfly::plan {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Time t0 = from_micros(1'800'000'000'000'000);

struct World {
  Config before = with_pool(), after = with_pool();
  std::vector<Job> jobs;
  std::vector<Builder> builders;
  std::set<std::string> platforms{"local"};
  std::map<PoolName, VersionMove> moves;

  static Config with_pool() {
    Config c;
    auto& p = c.pools["p"];
    p.name = "p";
    p.image = "img";
    p.secrets = {"token"};
    c.images["img"] = {"img", "/recipes/img", {}};
    return c;
  }
  PoolSpec& pool() { return after.pools["p"]; }
  Job& job(JobState state = JobState::queued) {
    Job j;
    j.id = jobs.size() + 1;
    j.spec.pool = "p";
    j.state = state;
    return jobs.emplace_back(j);
  }
  void builder(BuilderState state) {
    Builder b;
    b.id = "p-" + std::to_string(builders.size() + 1);
    b.pool = "p";
    b.state = state;
    b.shape = shape_of(before, before.pools.at("p"));
    builders.push_back(b);
  }
  ConfigChange change() {
    ChangeSight seen{t0, {}, {}, platforms, moves};
    for (const auto& j : jobs) seen.jobs.push_back(&j);
    for (const auto& b : builders) seen.builders.push_back(&b);
    return compare(before, after, seen);
  }
};

TEST(ConfigChange, TheSameIsNothing) {
  World w;
  w.job();
  EXPECT_TRUE(w.change().empty());
  EXPECT_EQ(summary(w.change()), "nothing changes");
}

TEST(ConfigChange, NumbersDrainNobody) {
  World w;
  w.builder(BuilderState::ready);
  w.pool().max = 20;
  w.pool().warm = 3;
  auto c = w.change();
  ASSERT_EQ(c.items.size(), 1u);
  EXPECT_THAT(lines(c), ElementsAre("pool p builders.warm: 0 → 3", "pool p builders.max: 10 → 20"));
  EXPECT_THAT(c.items[0].effects, ElementsAre("3 builders kept ready from now on instead of 0"));
  EXPECT_EQ(c.drained, 0);
}

TEST(ConfigChange, AnotherShapeReplacesIdleBuildersAndLeavesBusyOnes) {
  World w;
  w.builder(BuilderState::ready);
  w.builder(BuilderState::starting);
  w.builder(BuilderState::busy);
  w.builder(BuilderState::stopping);
  w.pool().limits.memory = 1 << 30;
  auto c = w.change();
  EXPECT_EQ(c.drained, 2);
  EXPECT_THAT(c.items[0].effects, Contains("2 idle builders replaced by new ones"));
  EXPECT_THAT(c.items[0].effects, Contains("1 running job finishes in the builder it has"));
  EXPECT_THAT(c.stranded, IsEmpty());
}

TEST(ConfigChange, AnotherRangeSaysWhichVersionThePoolMovesTo) {
  World w;
  w.before.pools["p"].image = "img@^1";
  w.pool().image = "img@^2";
  w.builder(BuilderState::ready);
  w.builder(BuilderState::busy);
  w.moves["p"] = {SemVer{1, 4, 0}, SemVer{2, 0, 1}};
  auto c = w.change();
  ASSERT_EQ(c.items.size(), 1u);
  EXPECT_THAT(c.items[0].effects,
              Contains("a rollout moves it from version 1.4.0 to 2.0.1; running jobs are left alone"));
  EXPECT_EQ(c.drained, 1);
  w.moves["p"].to.reset();
  EXPECT_THAT(w.change().items[0].effects, Contains("no version that was released fits img@^2: jobs wait for one"));
  w.moves["p"].to = w.moves["p"].from;
  EXPECT_THAT(w.change().items[0].effects, Contains("it stays on version 1.4.0"));
  EXPECT_EQ(w.change().drained, 0);
}

TEST(ConfigChange, ARecipeChangesThePoolsThatUseIt) {
  World w;
  w.builder(BuilderState::ready);
  w.after.images["img"].args["BASE"] = "alpine";
  auto c = w.change();
  ASSERT_EQ(c.items.size(), 1u);
  EXPECT_EQ(c.items[0].what, "image");
  EXPECT_THAT(c.items[0].effects, ElementsAre(HasSubstr("pool p")));
  EXPECT_EQ(c.drained, 1);
}

TEST(ConfigChange, ARemovedPoolStrandsWhatIsQueuedAndLetsFinishWhatRuns) {
  World w;
  w.job();
  w.job(JobState::running);
  w.builder(BuilderState::busy);
  w.builder(BuilderState::ready);
  w.after.pools.erase("p");
  auto c = w.change();
  ASSERT_EQ(c.stranded.size(), 1u);
  EXPECT_EQ(c.stranded[0].job, 1u);
  EXPECT_EQ(c.drained, 1);
  EXPECT_EQ(summary(c), "1 pool removed, 1 idle builder drained, 1 queued job stranded");
}

TEST(ConfigChange, AJobThatLosesItsSecretIsStranded) {
  World w;
  w.job().spec.secrets = {"token"};
  w.job();
  w.pool().secrets = {};
  auto c = w.change();
  ASSERT_EQ(c.stranded.size(), 1u);
  EXPECT_EQ(c.stranded[0].job, 1u);
}

TEST(ConfigChange, TheServerWaitsForARestart) {
  World w;
  w.after.server.listen = "0.0.0.0:8443";
  auto c = w.change();
  ASSERT_EQ(c.items.size(), 1u);
  EXPECT_TRUE(c.items[0].at_restart);
  EXPECT_FALSE(c.applies());
  EXPECT_EQ(applicable(w.before, w.after, w.platforms), w.before);
}

TEST(ConfigChange, APlatformThatTheDaemonDoesNotHaveWaitsForARestart) {
  World w;
  w.pool().platform = "docker";
  w.pool().max = 99;
  w.after.pools["q"] = w.pool();
  auto c = w.change();
  EXPECT_FALSE(c.applies());
  EXPECT_EQ(applicable(w.before, w.after, w.platforms), w.before);
}

TEST(ConfigChange, WhatIsAppliedShowsNoChangeAnyMore) {
  World w;
  w.pool().max = 77;
  w.after.pools["q"] = w.pool();
  w.after.pools["q"].name = "q";
  w.after.keep_jobs = std::chrono::hours(1);
  EXPECT_TRUE(w.change().applies());
  w.before = applicable(w.before, w.after, w.platforms);
  EXPECT_TRUE(w.change().empty());
}

TEST(ConfigChange, TheIdTellsBothConfigurations) {
  World w;
  auto nothing = w.change().id;
  w.pool().max = 20;
  auto more = w.change().id;
  EXPECT_NE(nothing, more);
  w.before.pools["p"].max = 15;
  EXPECT_NE(w.change().id, more);
}

}  // namespace
}  // namespace mayfly::plan
