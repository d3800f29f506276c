// The configuration changes while jobs wait and run.
#include <gmock/gmock.h>

#include "control/core_world_test.h"

namespace mayfly {
namespace {

using ::testing::HasSubstr;

struct ConfigWorld : World {
  ConfigWorld() {
    pool().max = 2;
    fake.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = std::chrono::minutes(10)}; };
  }
  // What became of it, once it is written down.
  Result<plan::ConfigChange> apply(const Config& next, std::string plan = {}, bool strand = false) {
    Result<plan::ConfigChange> answer = fail(ErrorCode::internal, "no answer");
    core().apply_config({next, "/etc/mayfly.yaml", "ann", std::move(plan), strand},
                        [&](Result<plan::ConfigChange> r) { answer = std::move(r); });
    core().step();
    return answer;
  }
  int recorded(const std::string& kind) {
    int n = 0;
    auto entries = store.ledger(0, 1000, {});
    for (const auto& e : *entries) n += e.kind == kind;
    return n;
  }
};

TEST(CoreConfig, ARunningJobKeepsItsBuilderAndTheIdleOneIsReplaced) {
  ConfigWorld w;
  w.pool().warm = 1;
  w.start();
  auto id = w.submit();
  w.run(seconds(5));
  ASSERT_EQ(w.job(id).state, JobState::running);
  ASSERT_EQ(w.builders(), 2u);
  auto before = *w.core().builders(false);

  Config next = w.config;
  next.pools["p"].limits.memory = 1 << 30;
  next.pools["p"].limits.timeout = seconds(1);  // not for the job that runs
  auto change = w.apply(next);
  ASSERT_TRUE(change) << change.error().text();
  EXPECT_EQ(change->drained, 1);
  w.run(seconds(5));
  auto after = *w.core().builders(false);
  ASSERT_EQ(after.size(), 2u);
  EXPECT_EQ(after[0].id, w.job(id).builder);
  EXPECT_NE(after[1].id, before[1].id);
  EXPECT_NE(after[1].shape, before[1].shape);
  w.run(std::chrono::minutes(20));
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
  EXPECT_EQ(w.recorded("config.applied"), 1);
}

TEST(CoreConfig, MoreRoomIsUsedAtOnce) {
  ConfigWorld w;
  w.start();
  for (int i = 0; i < 4; ++i) w.submit();
  w.run(seconds(5));
  EXPECT_EQ(w.builders(), 2u);
  Config next = w.config;
  next.pools["p"].max = 4;
  ASSERT_TRUE(w.apply(next));
  w.run(seconds(5));
  EXPECT_EQ(w.builders(), 4u);
}

TEST(CoreConfig, ARemovedPoolIsRefusedWhileJobsWaitForIt) {
  ConfigWorld w;
  w.start();
  std::vector<JobId> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(w.submit());
  w.run(seconds(5));
  Config next = w.config;
  next.pools["q"] = next.pools["p"];
  next.pools["q"].name = "q";
  next.pools.erase("p");
  auto refused = w.apply(next);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_THAT(refused.error().text(), HasSubstr("1 queued job"));
  EXPECT_EQ(w.recorded("config.applied"), 0);
  EXPECT_FALSE(w.core().plan_config(w.config).applies());  // all is as it was

  ASSERT_TRUE(w.apply(next, {}, true));
  w.run(std::chrono::minutes(20));
  EXPECT_EQ(w.job(ids[0]).state, JobState::succeeded);
  EXPECT_EQ(w.job(ids[1]).state, JobState::succeeded);
  EXPECT_EQ(w.job(ids[2]).waiting.code, ReasonCode::pool_removed);
  EXPECT_EQ(w.builders(), 0u);

  ASSERT_TRUE(w.apply(w.config));  // and back
  w.run(std::chrono::minutes(20));
  EXPECT_EQ(w.job(ids[2]).state, JobState::succeeded);
}

TEST(CoreConfig, OnlyWhatWasShownIsApplied) {
  ConfigWorld w;
  w.start();
  Config next = w.config, other = w.config;
  next.pools["p"].max = 5;
  other.pools["p"].max = 6;
  auto shown = w.core().plan_config(next).id;
  EXPECT_EQ(w.apply(other, shown).error().code, ErrorCode::conflict);
  ASSERT_TRUE(w.apply(other));
  EXPECT_EQ(w.apply(next, shown).error().code, ErrorCode::conflict);  // what is in force is another now
  EXPECT_TRUE(w.apply(next, w.core().plan_config(next).id));
  EXPECT_TRUE(w.core().plan_config(next).empty());
}

TEST(CoreConfig, WhatIsRunningIsNotWhatIsNotWrittenDown) {
  ConfigWorld w;
  w.start();
  w.store.fail_commits(Error{ErrorCode::exhausted, "disk full", {}, {}});
  w.submit();
  Config next = w.config;
  next.pools["p"].max = 5;
  EXPECT_EQ(w.apply(next).error().code, ErrorCode::exhausted);
  EXPECT_FALSE(w.core().plan_config(next).empty());
}

TEST(CoreConfig, AnImageThatComesTooLateIsNotUsed) {
  ConfigWorld w;
  w.start();
  auto id = w.submit();  // its image is being made ready, and the answer waits
  Config next = w.config;
  next.pools["p"].image = "other";
  ASSERT_TRUE(w.apply(next));
  w.run(seconds(5));
  auto builders = *w.core().builders(false);
  ASSERT_EQ(builders.size(), 1u);
  EXPECT_EQ(builders[0].image, "other");
  EXPECT_EQ(builders[0].image_digest, w.platform.prepare("other", after(seconds(1)))->digest);
  EXPECT_EQ(w.job(id).state, JobState::running);
}

TEST(CoreConfig, TheScheduleOfARemovedPoolWakesNobody) {
  ConfigWorld w;
  w.pool().schedule = {{"0 * * * *", "UTC", 1, {}, {}}};
  w.start();
  w.run(seconds(5));
  EXPECT_EQ(w.builders(), 1u);
  Config next = w.config;
  next.pools["q"] = w.pool();
  next.pools["q"].name = "q";
  next.pools["q"].schedule = {};
  next.pools.erase("p");
  ASSERT_TRUE(w.apply(next));
  w.run(std::chrono::hours(3));  // fails if it never comes to rest
  EXPECT_EQ(w.builders(), 0u);
}

TEST(CoreConfig, AJobWhosePoolLostItsSecretEndsWithThatReason) {
  ConfigWorld w;
  w.pool().max = 1;
  w.start();
  w.submit();
  auto spec = World::command({"true"});
  spec.secrets = {"known"};
  auto id = w.submit(spec);
  w.run(seconds(5));
  Config next = w.config;
  next.pools["p"].secrets = {};
  ASSERT_FALSE(w.apply(next));
  ASSERT_TRUE(w.apply(next, {}, true));
  w.run(std::chrono::minutes(20));
  EXPECT_EQ(w.job(id).result.cause, JobCause::secret_unavailable);
}

TEST(CoreDrain, RunningJobsFinishAndNothingNewStarts) {
  ConfigWorld w;
  w.pool().warm = 1;
  int told = 0;
  w.on_drained = [&] { ++told; };
  w.start();
  auto runs = w.submit();
  w.run(seconds(5));
  std::optional<Status> answer;
  w.core().drain("ann", [&](Result<Status> s) { answer = *s; });
  w.core().step();
  ASSERT_TRUE(answer);
  EXPECT_THAT(answer->notice, HasSubstr("draining"));
  auto late = w.submit();
  w.run(seconds(5));
  EXPECT_EQ(w.builders(), 1u);
  EXPECT_EQ(told, 0);
  EXPECT_EQ(w.job(late).waiting.code, ReasonCode::shutting_down);
  w.run(std::chrono::minutes(20));
  EXPECT_EQ(w.job(runs).state, JobState::succeeded);
  EXPECT_EQ(w.job(late).state, JobState::queued);
  EXPECT_EQ(w.builders(), 0u);
  EXPECT_EQ(told, 1);
}

}  // namespace
}  // namespace mayfly
