// Rollouts in the core's fake world: which version builders get, when the old one goes, and what a crash leaves.
#include <gtest/gtest.h>

#include "control/core_world_test.h"
#include "model/json.h"

namespace mayfly {
namespace {

SemVer v(std::string_view text) { return SemVer::parse(text).value(); }

class Rollouts : public ::testing::Test {
 protected:
  Rollouts() {
    w.config.images["general"] = {"general", "", {}};
    w.pool().image = "general@^1";
    w.pool().max = 6;
    w.pool().rollout.min_jobs = 5;
    w.fake.outcome = [this](const agent::Assign&) {
      FakeOutcome o;
      o.takes = job_takes;
      return o;
    };
  }
  void start() {
    w.start();
    w.run(seconds(1));
  }
  std::string release(const std::string& reference, std::optional<SemVer> number = {}) {
    std::string out;
    w.core().release({"general", reference, number, VersionLevel::patch, {}, {}}, "ann",
                     [&](auto r) { out = r ? r->number.text() : r.error().text(); });
    w.run(milliseconds(1));
    return out;
  }
  PoolVersions stands() { return w.core().rollouts().at(0); }
  RolloutState state() { return stands().rollout->state; }
  std::string current() { return stands().current ? stands().current->text() : "none"; }
  Result<PoolVersions> order(RolloutOrder o) {
    Result<PoolVersions> out = fail(ErrorCode::internal, "no answer");
    w.core().change_rollout("p", o, "eve", [&](auto r) { out = r; });
    w.run(milliseconds(1));
    return out;
  }
  std::map<std::string, int> alive(BuilderState state) {
    std::map<std::string, int> out;
    auto builders = w.core().builders(false);
    for (const auto& b : *builders)
      if (b.state == state) ++out[b.image_version];
    return out;
  }
  // Jobs one after the other, each on whatever the pool gives it; those on `bad` fail.
  void jobs(int n, const std::string& bad = {}) {
    for (int i = 0; i < n; ++i) {
      auto id = w.submit();
      w.fake.outcome = [this, bad, id](const agent::Assign& a) {
        FakeOutcome o;
        o.takes = job_takes;
        const auto version = w.core().job(a.job)->image_version;
        if (a.job == id && version == bad) o.result.exit_code = 1;
        return o;
      };
      w.run(seconds(5));
      last = w.job(id);
    }
  }
  std::vector<std::string> kinds() {
    std::vector<std::string> out;
    const auto entries = w.store.ledger(0, 1000, "pool/p").value();
    for (const auto& e : entries)
      if (e.kind.starts_with("rollout.") || e.kind == "pool.version") out.push_back(e.kind);
    return out;
  }
  Duration job_takes = milliseconds(10);
  Job last;
  World w;
};

TEST_F(Rollouts, AJobSaysThatNoVersionWasReleasedAndRunsOnceOneWas) {
  start();
  auto id = w.submit();
  w.run(seconds(1));
  EXPECT_EQ(w.job(id).waiting.code, ReasonCode::version_missing);
  EXPECT_NE(w.job(id).waiting.text.find("mayfly image release general"), std::string::npos) << w.job(id).waiting.text;
  EXPECT_EQ(release("x", v("2.0.0")), "2.0.0");
  w.run(seconds(1));
  EXPECT_EQ(w.job(id).state, JobState::queued) << "^1 is not 2";
  EXPECT_EQ(release("a", v("1.0.0")), "1.0.0");
  w.run();
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
  EXPECT_EQ(w.job(id).image_version, "general@1.0.0");
  EXPECT_EQ(current(), "1.0.0");
  EXPECT_FALSE(stands().rollout) << "there was nothing to move from";
}

TEST_F(Rollouts, APlannedChangeSaysWhichVersionThePoolWouldMoveTo) {
  start();
  release("a", v("1.0.0"));
  release("b", v("2.0.0"));
  w.run(seconds(1));
  auto wanted = w.config;
  wanted.pools["p"].image = "general@^2";
  auto change = w.core().plan_config(wanted);
  ASSERT_EQ(change.items.size(), 1u);
  ASSERT_FALSE(change.items[0].effects.empty());
  EXPECT_NE(change.items[0].effects[0].find("from version 1.0.0 to 2.0.0"), std::string::npos)
      << change.items[0].effects[0];
  wanted.pools["p"].image = "general@^3";
  EXPECT_NE(w.core().plan_config(wanted).items[0].effects.at(0).find("fits general@^3"), std::string::npos);
}

TEST_F(Rollouts, APoolThatKeepsNothingIdleSeesOneBuilderComeUpAndNoMore) {
  start();
  release("a");
  w.run(seconds(1));
  release("b");
  w.run(seconds(5));
  EXPECT_EQ(state(), RolloutState::watching);
  EXPECT_EQ(stands().rollout->new_tally.launched, 1);
  EXPECT_EQ(stands().rollout->new_tally.ready, 1);
  EXPECT_EQ(w.builders(), 0u) << "nothing waits for it";
  w.run(std::chrono::hours(2));
  EXPECT_EQ(state(), RolloutState::promoted);
  EXPECT_EQ(stands().rollout->new_tally.launched, 1);
}

TEST_F(Rollouts, AVersionThatDoesNotComeUpIsFoundBeforeAJobNeedsIt) {
  start();
  release("a");
  w.run(seconds(1));
  jobs(1);
  w.fake.behaviour = [](const BuilderRequest& r) {
    FakeBehaviour b;
    if (r.image.reference == "b") b.launch = FakeBehaviour::Launch::fails;
    return b;
  };
  release("b");
  w.run(std::chrono::minutes(3));
  EXPECT_EQ(state(), RolloutState::rolled_back);
  EXPECT_EQ(current(), "1.0.0");
  jobs(1);
  EXPECT_EQ(last.image_version, "general@1.0.0");
  EXPECT_EQ(last.state, JobState::succeeded);
}

TEST_F(Rollouts, CandidatesAreReadyBeforeTheOldOnesGoAndBusyOnesFinish) {
  w.pool().warm = 2;
  start();
  release("a");
  w.run(seconds(1));
  ASSERT_EQ(alive(BuilderState::ready)["general@1.0.0"], 2);
  job_takes = std::chrono::minutes(1);
  auto busy = w.submit();
  w.run(seconds(1));
  release("b");
  for (int i = 0; i < 100 && state() == RolloutState::warming; ++i) {
    auto ready = alive(BuilderState::ready);
    EXPECT_GE(ready["general@1.0.0"] + ready["general@1.0.1"], 2);
    w.core().step();
    w.run(Duration(1));
  }
  EXPECT_EQ(state(), RolloutState::watching);
  w.run(seconds(1));
  EXPECT_EQ(alive(BuilderState::ready)["general@1.0.1"], 2);
  EXPECT_EQ(alive(BuilderState::ready)["general@1.0.0"], 0);
  EXPECT_EQ(alive(BuilderState::busy)["general@1.0.0"], 1) << "its job goes on";
  w.run(std::chrono::minutes(2));
  EXPECT_EQ(w.job(busy).state, JobState::succeeded);
  EXPECT_EQ(w.job(busy).image_version, "general@1.0.0");
  job_takes = milliseconds(10);
  jobs(5);
  EXPECT_EQ(state(), RolloutState::promoted);
  EXPECT_EQ(current(), "1.0.1");
  EXPECT_EQ(kinds(),
            (std::vector<std::string>{"pool.version", "rollout.started", "rollout.watching", "rollout.promoted"}));
}

TEST_F(Rollouts, AFullPoolMakesRoomOneByOne) {
  w.pool().warm = w.pool().max = 3;
  start();
  release("a");
  w.run(seconds(1));
  release("b");
  for (int i = 0; i < 200 && state() == RolloutState::warming; ++i) {
    auto ready = alive(BuilderState::ready);
    EXPECT_GE(ready["general@1.0.0"] + ready["general@1.0.1"], 2) << "one at a time";
    w.core().step();
    w.run(Duration(1));
  }
  w.run(seconds(5));
  EXPECT_EQ(state(), RolloutState::watching);
  EXPECT_EQ(alive(BuilderState::ready)["general@1.0.1"], 3);
  EXPECT_LE(w.fake.counts().most_builders, 3);
}

TEST_F(Rollouts, APoolWithoutWarmBuildersStartsTheNewestAtOnce) {
  start();
  release("a");
  jobs(1);
  EXPECT_EQ(last.image_version, "general@1.0.0");
  for (auto reference : {"b", "c", "d"}) {
    auto number = release(reference);
    w.run(seconds(1));
    jobs(1);
    EXPECT_EQ(last.image_version, "general@" + number);
  }
  EXPECT_EQ(current(), "1.0.0") << "none is proven yet";
  jobs(4);
  EXPECT_EQ(current(), "1.0.3");
}

TEST_F(Rollouts, ABadVersionIsRolledBackByItselfAndNotTriedAgain) {
  w.pool().rollout.min_jobs = 20;
  start();
  release("a");
  jobs(30);
  release("b");
  w.run(seconds(1));
  jobs(10, "general@1.0.1");
  EXPECT_EQ(state(), RolloutState::rolled_back);
  EXPECT_EQ(current(), "1.0.0");
  EXPECT_EQ(last.image_version, "general@1.0.0");
  EXPECT_EQ(last.state, JobState::succeeded);
  EXPECT_LE(stands().rollout->new_tally.failed, 4);
  w.start();
  w.run(std::chrono::hours(2));
  jobs(1);
  EXPECT_EQ(last.image_version, "general@1.0.0") << "nor after a restart";
  release("c");
  w.run(seconds(1));
  jobs(20);
  EXPECT_EQ(current(), "1.0.2") << "the next one is";
}

TEST_F(Rollouts, AVersionThatCannotBeHadOrStartedIsRolledBackAndNoJobFails) {
  w.pool().warm = 2;
  start();
  release("a");
  w.run(seconds(1));
  ImageVersion gone;
  gone.image = "general", gone.number = v("1.0.1"), gone.reference = "b", gone.digest = "sha256:b";
  ASSERT_TRUE(w.store.commit({.versions = {gone}}));
  w.platform.remove_image("b");
  start();
  w.run(seconds(30));
  EXPECT_EQ(state(), RolloutState::rolled_back);
  EXPECT_EQ(alive(BuilderState::ready)["general@1.0.0"], 2);
  w.fake.behaviour = [](const BuilderRequest& r) {
    FakeBehaviour f;
    if (r.image.reference == "c") f.launch = FakeBehaviour::Launch::fails;
    return f;
  };
  release("c");
  jobs(3);
  w.run(std::chrono::minutes(1));
  EXPECT_EQ(state(), RolloutState::rolled_back) << stands().rollout->why;
  EXPECT_EQ(stands().rollout->to.text(), "1.0.2");
  EXPECT_EQ(last.state, JobState::succeeded);
  EXPECT_EQ(alive(BuilderState::ready)["general@1.0.0"], 2);
  EXPECT_EQ(current(), "1.0.0");
}

TEST_F(Rollouts, ACanaryGetsItsShareAndNoMore) {
  w.pool().rollout.canary = 0.1;
  w.pool().rollout.min_jobs = 1000;
  start();
  release("a");
  jobs(5);
  release("b");
  w.run(seconds(1));
  EXPECT_EQ(state(), RolloutState::canary);
  jobs(50);
  auto r = *stands().rollout;
  EXPECT_EQ(r.new_tally.jobs, 5);
  EXPECT_EQ(r.old_tally.jobs, 5 + 45) << "with those of before";
  w.run(std::chrono::hours(3));
  EXPECT_EQ(state(), RolloutState::promoted) << "nothing spoke against it for as long as it takes";
}

TEST_F(Rollouts, PeoplePauseResumeRollBackAndPromote) {
  w.pool().rollout.soak = std::chrono::minutes(10);
  start();
  release("a");
  jobs(1);
  EXPECT_EQ(order(RolloutOrder::pause).error().code, ErrorCode::conflict);
  EXPECT_EQ(order(RolloutOrder::rollback).error().code, ErrorCode::conflict);
  release("b");
  ASSERT_TRUE(order(RolloutOrder::pause));
  auto paused_in = state();
  w.run(std::chrono::hours(2));
  EXPECT_EQ(state(), paused_in);
  ASSERT_TRUE(order(RolloutOrder::resume));
  w.run(seconds(1));
  EXPECT_EQ(state(), RolloutState::watching);
  ASSERT_TRUE(order(RolloutOrder::rollback));
  EXPECT_EQ(state(), RolloutState::rolled_back);
  jobs(1);
  EXPECT_EQ(last.image_version, "general@1.0.0");
  ASSERT_TRUE(order(RolloutOrder::resume)) << "once more";
  w.run(seconds(1));
  EXPECT_EQ(state(), RolloutState::watching);
  ASSERT_TRUE(order(RolloutOrder::promote));
  EXPECT_EQ(current(), "1.0.1");
  ASSERT_TRUE(order(RolloutOrder::rollback)) << "also after it was promoted";
  w.run(seconds(5));
  EXPECT_EQ(current(), "1.0.0");
  jobs(1);
  EXPECT_EQ(last.image_version, "general@1.0.0");
}

TEST_F(Rollouts, GoingBackToAnEarlierVersionTakesSecondsAndSticks) {
  w.pool().warm = 1;
  w.pool().rollout.canary = 0.5;
  start();
  for (auto reference : {"a", "b"}) release(reference);
  w.run(std::chrono::hours(5));
  ASSERT_EQ(current(), "1.0.1");
  w.core().withdraw_after("general", {}, "eve", [](auto) {});
  w.run(seconds(5));
  EXPECT_EQ(current(), "1.0.0");
  EXPECT_EQ(alive(BuilderState::ready), (std::map<std::string, int>{{"general@1.0.0", 1}}));
  w.run(std::chrono::hours(5));
  EXPECT_EQ(current(), "1.0.0");
}

TEST_F(Rollouts, ATagThatWasMovedIsNotTheVersion) {
  start();
  ImageVersion other;
  other.image = "general", other.number = v("1.0.0"), other.reference = "a", other.digest = "sha256:other";
  ASSERT_TRUE(w.store.commit({.versions = {other}}));
  start();
  auto id = w.submit();
  w.run();
  EXPECT_EQ(w.job(id).result.cause, JobCause::image_unavailable);
  EXPECT_NE(w.job(id).result.message.find("sha256:other"), std::string::npos) << w.job(id).result.message;
}

// At every step boundary of a rollout in turn the daemon is killed; the next one brings it to its end.
TEST_F(Rollouts, EndWhereverTheDaemonIsKilled) {
  for (int at = 1; at < 200; ++at) {
    World world;
    world.config.images["general"] = {"general", "", {}};
    world.pool().image = "general";
    world.pool().warm = 1;
    world.pool().rollout.min_jobs = 2;
    auto put = [&](const char* number, const char* reference) {
      ImageVersion version;
      version.image = "general", version.number = v(number), version.reference = reference;
      version.digest = world.platform.prepare(reference, after(seconds(1)))->digest;
      ASSERT_TRUE(world.store.commit({.versions = {version}}));
    };
    put("1.0.0", "a");
    world.start();
    world.run(seconds(5));
    put("1.0.1", "b");
    bool crashed = false;
    JobId ids[3] = {};
    try {
      world.start();
      world.crash_at = at;
      world.steps = 0;
      world.run(seconds(5));
      for (auto& id : ids) id = world.submit(), world.run(seconds(5));
    } catch (const Crash&) {
      crashed = true;
    }
    world.crash_at = 0;
    world.start();
    world.run(seconds(5));
    for (int i = 0; i < 3; ++i) world.submit(), world.run(seconds(5));
    auto p = world.core().rollouts().at(0);
    ASSERT_TRUE(p.current && p.rollout) << at;
    ASSERT_EQ(p.current->text(), "1.0.1") << "killed at boundary " << at;
    ASSERT_EQ(p.rollout->state, RolloutState::promoted) << at;
    ASSERT_LE(world.fake.counts().most_jobs_of_a_builder, 1);
    ASSERT_TRUE(world.store.verify_ledger());
    if (!crashed) {
      EXPECT_GT(at, 40);
      return;
    }
  }
}

}  // namespace
}  // namespace mayfly
