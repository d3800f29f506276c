// Another configuration connects a pool to another CI while its jobs wait and run.
#include <gmock/gmock.h>

#include "control/core_ci_world_test.h"

namespace mayfly {
namespace {

using ::testing::HasSubstr;

// One whose credential has been taken from it.
struct MortalCi : FakeCi {
  using FakeCi::FakeCi;
  bool dead = false;
  std::function<void()> on_mint;
  Result<CiCredential> mint(const std::string& name, const CiJob& job, Deadline d) override {
    if (on_mint) on_mint();
    return FakeCi::mint(name, job, d);
  }
  Result<std::optional<CiJob>> taken(const CiRegistration& r, Deadline d) override {
    if (dead) return fail(ErrorCode::denied, "the token is gone", "fake");
    return FakeCi::taken(r, d);
  }
  Result<void> forget(const CiRegistration& r, Deadline d) override {
    if (dead) return fail(ErrorCode::denied, "the token is gone", "fake");
    return FakeCi::forget(r, d);
  }
};

struct ChangeWorld : CiTestWorld {
  std::shared_ptr<MortalCi> first = std::make_shared<MortalCi>(ci_world);
  FakeCiWorld other_world;
  ChangeWorld() {
    cis["p"] = first;
    pool().max = 1;
    ci_worlds.push_back(&other_world);
    takes = seconds(30);
  }
  Result<plan::ConfigChange> apply(const std::string& ci, std::shared_ptr<Ci> connector) {
    made = std::move(connector);
    Config next = config;
    next.pools["p"].ci = ci;
    next.pools["p"].ci_settings["token"] = "another";
    Result<plan::ConfigChange> answer = fail(ErrorCode::internal, "no answer");
    core().apply_config({next, "/etc/mayfly.yaml", "ann", {}, false},
                        [&](Result<plan::ConfigChange> r) { answer = std::move(r); });
    core().step();
    return answer;
  }
  // The first runs, the second waits for its builder.
  void begin() {
    make_ci = [this](const PoolSpec&) -> Result<std::shared_ptr<Ci>> { return made; };
    start();
    ci_world.queue(pending("1"));
    ci_world.queue(pending("2"));
    pass(seconds(10));
    ASSERT_EQ(jobs().size(), 2u);
    ASSERT_EQ(jobs()[1].state, JobState::running);
    ASSERT_EQ(jobs()[0].state, JobState::queued);
  }
  std::shared_ptr<Ci> made;
};

TEST(CoreCiChange, AnotherConnectorToTheSameQueueTakesEverythingOver) {
  ChangeWorld w;
  w.begin();
  auto change = w.apply("fake", std::make_shared<FakeCi>(w.ci_world));
  ASSERT_TRUE(change) << change.error().text();
  w.first->dead = true;
  w.pass(std::chrono::minutes(5));
  ASSERT_EQ(w.jobs().size(), 2u);
  for (const auto& j : w.jobs()) EXPECT_EQ(j.state, JobState::succeeded) << j.result.message;
  EXPECT_TRUE(w.ci_world.registrations().empty());
  EXPECT_EQ(w.first.use_count(), 2) << "held by nobody but this test and its world";
}

TEST(CoreCiChange, AnotherQueueBeginsAnewAndTheOldOnesJobsEndAsItSays) {
  ChangeWorld w;
  w.outcome = CiOutcome::failed;
  w.begin();
  w.other_world.queue(pending("1"));  // its own numbers
  auto change = w.apply("fake", std::make_shared<FakeCi>(w.other_world, "hook-secret", "elsewhere"));
  ASSERT_TRUE(change) << change.error().text();
  w.pass(std::chrono::minutes(5));
  auto jobs = w.jobs();
  ASSERT_EQ(jobs.size(), 3u);
  EXPECT_EQ(jobs[2].state, JobState::failed);  // with the old one's word, though the agent's exit code was 0
  EXPECT_EQ(jobs[2].external.result, "failure");
  EXPECT_EQ(jobs[1].state, JobState::cancelled);
  EXPECT_EQ(w.ci_world.job("2")->phase, CiPhase::pending);  // it waits on, there
  EXPECT_EQ(jobs[0].state, JobState::failed);
  EXPECT_EQ(w.other_world.job("1")->phase, CiPhase::ended);
  EXPECT_TRUE(w.ci_world.registrations().empty());
  EXPECT_TRUE(w.other_world.registrations().empty());
}

TEST(CoreCiChange, WithoutACiAnyMoreWhatRunsIsSeenToItsEnd) {
  ChangeWorld w;
  w.outcome = CiOutcome::failed;
  w.begin();
  auto change = w.apply("builtin", nullptr);
  ASSERT_TRUE(change) << change.error().text();
  w.pass(std::chrono::minutes(5));
  ASSERT_EQ(w.jobs().size(), 2u);
  EXPECT_EQ(w.jobs()[1].state, JobState::failed);
  EXPECT_EQ(w.jobs()[0].state, JobState::cancelled);
  EXPECT_THAT(w.jobs()[0].result.message, HasSubstr("elsewhere"));
  EXPECT_TRUE(w.ci_world.registrations().empty());
  EXPECT_EQ(w.core().status().pools[0].problem, "");
  w.ci_world.queue(pending("3"));
  w.pass(std::chrono::minutes(1));
  EXPECT_EQ(w.jobs().size(), 2u);
}

TEST(CoreCiChange, ACredentialThatIsBeingMadeMeanwhileIsNotForgotten) {
  for (auto fault : {FakeCiFault::none, FakeCiFault::reply_lost}) {
    ChangeWorld w;
    w.make_ci = [&w](const PoolSpec&) -> Result<std::shared_ptr<Ci>> { return w.made; };
    w.start();
    w.ci_world.queue(pending("1"));
    w.ci_world.break_mint_with(fault, 1);
    bool applied = false;
    w.first->on_mint = [&] {
      w.post([&] { applied = w.apply("builtin", nullptr).has_value(); });
      w.first->on_mint = nullptr;
    };
    w.pass(std::chrono::minutes(5));
    ASSERT_TRUE(applied);
    EXPECT_EQ(w.ci_world.registered(), 1u);
    EXPECT_TRUE(w.ci_world.registrations().empty());
    EXPECT_EQ(w.only_job().state, fault == FakeCiFault::none ? JobState::succeeded : JobState::cancelled);
  }
}

TEST(CoreCiChange, APoolIsConnectedToItsFirstCi) {
  ChangeWorld w;
  w.cis.clear();
  w.pool().ci = "builtin";
  w.make_ci = [&w](const PoolSpec&) -> Result<std::shared_ptr<Ci>> { return w.made; };
  w.start();
  w.ci_world.queue(pending("1"));
  ASSERT_TRUE(w.apply("fake", std::make_shared<FakeCi>(w.ci_world)));
  w.pass(std::chrono::minutes(2));
  EXPECT_EQ(w.only_job().state, JobState::succeeded);
  EXPECT_TRUE(w.ci_world.registrations().empty());
}

TEST(CoreCiChange, SettingsThatNoConnectorTakesChangeNothing) {
  ChangeWorld w;
  w.make_ci = [](const PoolSpec&) -> Result<std::shared_ptr<Ci>> { return fail(ErrorCode::invalid, "no", "pools.p"); };
  w.start();
  auto refused = w.apply("fake", nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid);
  w.ci_world.queue(pending("1"));
  w.pass(std::chrono::minutes(2));
  EXPECT_EQ(w.only_job().state, JobState::succeeded);
}

TEST(CoreCiChange, ARestartWithAnotherConfigurationRunsNothingWithoutACredential) {
  ChangeWorld w;
  w.begin();
  w.config.pools["p"].ci = "builtin";
  w.cis.clear();
  w.start();
  w.pass(std::chrono::minutes(5));
  ASSERT_EQ(w.jobs().size(), 2u);
  EXPECT_EQ(w.jobs()[0].state, JobState::cancelled);
  EXPECT_EQ(w.jobs()[1].state, JobState::lost) << "nobody can say what became of it";
}

}  // namespace
}  // namespace mayfly
