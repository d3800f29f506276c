// The daemon ends, in order or not, and the next one takes over.
#include <fstream>

#include "control/core_world_test.h"

namespace mayfly {
namespace {

TEST(Core, ARunningJobIsAdoptedAfterARestart) {
  World w;
  w.fake.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = std::chrono::minutes(10)}; };
  w.start();
  auto id = w.submit();
  w.run(seconds(1));
  auto builder = w.job(id).builder;
  w.start();  // without a word to the first: as after kill -9
  w.run(std::chrono::minutes(20));
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
  EXPECT_EQ(w.job(id).builder, builder);
  EXPECT_EQ(w.fake.counts().most_runs_of_a_job, 1);
}

TEST(Core, BuildersThatNobodyOwnsAreRemoved) {
  World w;
  w.start();
  ASSERT_TRUE(w.platform.launch({.id = "p-77", .pool = "p", .image = {}, .limits = {}}, after(seconds(1))));
  w.start();
  w.run();
  EXPECT_TRUE(w.fake.builders().empty());
}

TEST(Core, StoppingKeepsRunningJobsUnlessToldOtherwise) {
  for (bool kill : {false, true}) {
    World w;
    w.pool().warm = 1;
    w.fake.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = std::chrono::minutes(10)}; };
    w.start();
    auto id = w.submit();
    w.run(seconds(1));
    w.core().begin_stop(kill);
    w.run(seconds(1));
    EXPECT_TRUE(w.core().quiet());
    EXPECT_EQ(w.fake.builders().size(), kill ? 0u : 1u);
    EXPECT_EQ(w.job(id).state, kill ? JobState::lost : JobState::running);
  }
}

// What follows, the simulation found (tests/simulation).

TEST(Core, AHelloHeardTwiceDoesNotTakeTheJobFromItsBuilder) {
  World w;
  w.fake.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = std::chrono::minutes(1)}; };
  w.start();
  auto id = w.submit();
  w.run(seconds(1));
  auto builder = w.job(id).builder;
  AgentEvent hello;
  hello.kind = AgentEvent::Kind::hello;
  hello.builder = builder;
  hello.hello = agent::Hello();  // as it was said before the order came
  w.core().on_agent(hello);
  w.run();
  EXPECT_EQ(w.job(id).builder, builder);
  EXPECT_EQ(w.fake.counts().most_runs_of_a_job, 1);
}

TEST(Core, AJobThatEndedWhileTheDaemonWasAwayIsNotOverdue) {
  World w;
  w.fake.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = seconds(10)}; };
  w.start();
  auto id = w.submit();
  w.run(seconds(1));
  w.start();  // killed, and back long after the job's time limit
  w.clock.advance(seconds(10));
  w.fake.deliver_all();
  w.clock.advance(std::chrono::hours(3));
  w.run();
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
}

TEST(Core, AClockPutOnWhileTheDaemonIsAwayEndsNoJob) {
  World w;
  w.fake.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = std::chrono::minutes(50)}; };
  w.start();
  auto id = w.submit();
  w.run(seconds(1));
  w.clock.jump(std::chrono::hours(3));
  w.start();
  w.core().step();
  EXPECT_EQ(w.job(id).state, JobState::running);
  w.run(std::chrono::hours(1));
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
}

TEST(Core, ABuilderThatAppearsAfterTheDaemonHasLookedIsFound) {
  World w;
  w.start();
  w.run();
  // The launch of an earlier daemon, which was killed.
  ASSERT_TRUE(w.platform.launch({.id = "p-77", .pool = "p", .image = {}, .limits = {}}, after(seconds(1))));
  w.clock.advance(std::chrono::minutes(2));
  w.run();
  EXPECT_TRUE(w.fake.builders().empty());
}

TEST(Core, WhatKeptFailingIsLeftAloneAfterARestartToo) {
  World w;
  w.pool().warm = 1;
  w.platform.fail_launch(Error{ErrorCode::unavailable, "no"});
  w.start();
  auto tried = [&] { return w.store.builders(100)->size(); };
  for (int i = 0; i < 200 && tried() < 8; ++i) {
    w.clock.advance(seconds(5));
    w.run(seconds(1));
  }
  ASSERT_EQ(tried(), 8u);
  w.start();
  auto id = w.submit();
  w.run(seconds(5));
  EXPECT_EQ(tried(), 8u);
  EXPECT_EQ(w.job(id).waiting.code, ReasonCode::breaker_open);
  w.platform.fail_launch({});
  w.clock.advance(std::chrono::minutes(10));
  w.run();
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
}

TEST(Core, ARestartGrantsNoLaunchesOfTheSameMinuteAgain) {
  World w;
  w.config.platforms["local"].launches_per_minute = 2;
  w.fake.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = std::chrono::minutes(50)}; };
  w.start();
  for (int i = 0; i < 3; ++i) w.submit();
  w.run(seconds(1));
  ASSERT_EQ(w.builders(), 2u);
  w.start();
  w.run(seconds(1));
  EXPECT_EQ(w.builders(), 2u);
  EXPECT_EQ(w.job(3).waiting.code, ReasonCode::rate_limited);
  w.run(seconds(40));
  EXPECT_EQ(w.builders(), 3u);
}

TEST(Core, AnAdoptedBuilderIsAsOldAsItWasAndIsRefreshed) {
  World w;
  w.clock.set(from_micros(1'800'000'000'000'000));  // 08:00 UTC
  w.pool().warm = 1;
  auto& refresh = w.pool().schedule.emplace_back();
  refresh.cron = "30 * * * *", refresh.refresh = true;
  w.start();
  w.run(seconds(1));
  auto before = w.core().builders(false)->at(0);
  w.start();
  w.run(seconds(1));
  auto adopted = w.core().builders(false)->at(0);
  EXPECT_EQ(adopted.id, before.id);
  EXPECT_EQ(adopted.state, BuilderState::ready);
  EXPECT_EQ(adopted.requested_at, before.requested_at);
  w.clock.advance(std::chrono::minutes(40));  // the daemon is away at the time of the refresh
  w.start();
  w.run(seconds(5));
  ASSERT_EQ(w.builders(), 1u);
  EXPECT_NE(w.core().builders(false)->at(0).id, before.id);
}

// The life of three jobs, of which one fails and one is cancelled, killed at every boundary in turn.
std::vector<std::string> live(World& w, int crash_at) {
  std::vector<Job> ends(3);
  w.fake.outcome = [](const agent::Assign& a) {
    FakeOutcome o{.takes = milliseconds(200)};
    if (a.job == 2) o.result.exit_code = 7;
    if (a.job == 3) o.takes = std::chrono::minutes(50);
    return o;
  };
  w.crash_at = crash_at;
  auto careful = [&](auto action) { w.survive(action); };
  careful([&] { w.start(); });
  careful([&] { w.run(seconds(1)); });
  for (auto key : {"a", "b", "c"}) careful([&] { w.submit(World::command({"x"}), key); });
  careful([&] { w.run(seconds(1)); });
  careful([&] {
    w.core().cancel(3, "ann", [](Result<Job>) {});
    w.core().step();
  });
  careful([&] { w.run(std::chrono::minutes(10)); });
  careful([&] { w.run(std::chrono::minutes(10)); });
  EXPECT_EQ(w.job(1).state, JobState::succeeded);
  EXPECT_EQ(w.job(2).state, JobState::failed);
  EXPECT_EQ(w.job(2).result.exit_code, 7);
  EXPECT_EQ(w.job(3).state, JobState::cancelled);
  EXPECT_EQ(w.core().jobs({})->size(), 3u);
  EXPECT_EQ(w.fake.counts().most_jobs_of_a_builder, 1);
  EXPECT_EQ(w.fake.counts().most_runs_of_a_job, 1);
  EXPECT_EQ(w.fake.counts().second_lives, 0);
  EXPECT_EQ(w.builders(), static_cast<std::size_t>(w.pool().warm));
  EXPECT_EQ(w.fake.builders().size(), static_cast<std::size_t>(w.pool().warm));
  EXPECT_TRUE(w.store.verify_ledger());
  return w.boundaries;
}

TEST(Core, SurvivesAKillAtEveryStep) {
  for (int warm : {0, 1}) {
    std::size_t steps = 0;
    {
      World w;
      w.pool().warm = warm;
      steps = live(w, 0).size();
    }
    ASSERT_GT(steps, 40u);
    for (std::size_t k = 1; k <= steps; ++k) {
      World w;
      w.pool().warm = warm;
      SCOPED_TRACE("warm " + std::to_string(warm) + ", killed at boundary " + std::to_string(k));
      auto boundaries = live(w, static_cast<int>(k));
      if (::testing::Test::HasFailure()) {
        ADD_FAILURE() << "after " << boundaries[k - 1];
        return;
      }
    }
  }
}

}  // namespace
}  // namespace mayfly
