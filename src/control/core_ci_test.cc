// Jobs that come from a CI, in a fake world with a fake CI.
#include <boost/json.hpp>

#include "control/core_ci_world_test.h"
#include "model/json.h"

namespace mayfly {
namespace {

TEST(CoreCi, AJobInTheQueueIsRunAndTheCiSaysHowItEnded) {
  CiTestWorld w;
  w.outcome = CiOutcome::failed;  // though its agent exits with 0
  w.start();
  w.ci_world.queue(pending("31"));
  w.pass(std::chrono::minutes(1));
  auto j = w.only_job();
  EXPECT_EQ(j.state, JobState::failed);
  EXPECT_EQ(j.ci, "fake");
  EXPECT_EQ(j.external.id, "31");
  EXPECT_EQ(j.external.url, "https://ci.example/31");
  EXPECT_TRUE(j.external.taken);
  EXPECT_EQ(j.external.result, "failure");
  EXPECT_FALSE(j.external.runner.empty());
  EXPECT_FALSE(j.image_digest.empty());
  EXPECT_EQ(w.agents_env["FAKE_CI_URL"], "https://ci.example");
  EXPECT_TRUE(w.ci_world.registrations().empty());
  EXPECT_EQ(w.ci_world.registered(), 1u);
  EXPECT_EQ(w.builders(), 0u);
  EXPECT_TRUE(w.store.verify_ledger());
  for (auto kind : {"ci.mint", "ci.minted", "ci.taken", "ci.asked", "ci.forget", "ci.forgotten"})
    EXPECT_TRUE(w.kinds().contains(kind)) << kind;
}

TEST(CoreCi, TheCredentialIsWrittenDownNowhere) {
  CiTestWorld w;
  w.start();
  w.ci_world.queue(pending("1"));
  w.pass(std::chrono::minutes(1));
  std::string written;
  for (const auto& j : w.jobs()) written += boost::json::serialize(to_json(j));
  auto entries = w.store.ledger(1, 100'000, {}).value();
  for (const auto& e : entries) written += e.detail;
  EXPECT_NE(written.find("mf-"), std::string::npos);
  EXPECT_EQ(written.find("credential-of"), std::string::npos);
}

TEST(CoreCi, SaidTwiceItIsOneJob) {
  CiTestWorld w;
  w.start();
  w.ci_world.queue(pending("1"));
  CiNews news{.jobs = {pending("1"), pending("1")}, .look = true};
  w.core().on_ci_news("p", news);
  w.core().on_ci_news("p", news);
  w.pass(seconds(3));
  w.core().on_ci_news("p", news);  // late: its runner has it
  w.pass(std::chrono::minutes(1));
  w.core().on_ci_news("p", news);  // later still
  w.pass(std::chrono::minutes(1));
  EXPECT_EQ(w.jobs().size(), 1u);
  EXPECT_EQ(w.ci_world.registered(), 1u);
}

TEST(CoreCi, AWebhookMakesItStartAtOnce) {
  CiTestWorld w;
  w.start();
  w.pass(seconds(1));  // looked, and will look again in some seconds
  auto before = w.clock.now();
  w.ci_world.queue(pending("1"));
  w.core().on_ci_news("p", {.jobs = {pending("1")}, .look = false});
  w.pass(seconds(1));
  EXPECT_EQ(w.only_job().queued_at, before);
}

TEST(CoreCi, WhatVanishesBeforeItHasABuilderIsCancelled) {
  CiTestWorld w;
  w.platform.set_health({.accepts_builders = false, .disk_full = false, .problem = "not now"});
  w.start();
  w.ci_world.queue(pending("1"));
  w.pass(seconds(20));
  EXPECT_EQ(w.only_job().state, JobState::queued);
  w.ci_world.vanish("1");
  w.pass(seconds(20));
  EXPECT_EQ(w.only_job().state, JobState::cancelled);
  EXPECT_EQ(w.ci_world.registered(), 0u);
  // It was only away for a moment: it is wanted again.
  w.platform.set_health({});
  w.ci_world.queue(pending("1"));
  w.pass(std::chrono::minutes(2));
  EXPECT_EQ(w.ci_world.job("1")->outcome, CiOutcome::succeeded);
}

TEST(CoreCi, ARunnerThatNothingWaitsForIsEndedAndNoJobIsLost) {
  CiTestWorld w;
  w.takes_jobs = false;
  w.takes = std::chrono::minutes(50);
  w.start();
  w.ci_world.queue(pending("1"));
  w.pass(seconds(20));
  EXPECT_EQ(w.only_job().state, JobState::running);
  w.ci_world.vanish("1");
  w.pass(std::chrono::minutes(5));
  EXPECT_EQ(w.only_job().state, JobState::cancelled);
  EXPECT_EQ(w.builders(), 0u);
  EXPECT_TRUE(w.ci_world.registrations().empty());
}

TEST(CoreCi, RunnersTakeJobsInAnyOrderAndEachIsRecordedWithItsOwn) {
  CiTestWorld w;
  w.start();
  for (int i = 0; i < 8; ++i) {
    auto c = pending(std::to_string(i));
    c.priority = i;  // the fake gives the first that came, whatever its priority
    w.ci_world.queue(c);
  }
  w.pass(std::chrono::minutes(5));
  std::set<std::string> ids;
  for (const auto& j : w.jobs()) {
    EXPECT_EQ(j.state, JobState::succeeded) << j.result.message;
    EXPECT_TRUE(ids.insert(j.external.id).second) << j.external.id;
    EXPECT_EQ(w.ci_world.job(j.external.id)->runner, j.external.runner);
  }
  EXPECT_EQ(ids.size(), 8u);
  EXPECT_EQ(w.ci_world.most_jobs_of_a_registration(), 1u);
  EXPECT_TRUE(w.ci_world.registrations().empty());
}

TEST(CoreCi, AThrottledCiIsLeftAloneUntilItSaysSo) {
  CiTestWorld w;
  w.ci_world.break_with(FakeCiFault::throttled, 1);
  w.start();
  w.ci_world.queue(pending("1"));
  w.pass(seconds(6));
  EXPECT_TRUE(w.jobs().empty());
  EXPECT_NE(w.core().status().pools[0].problem.find("fewer requests"), std::string::npos);
  w.pass(seconds(60));
  EXPECT_EQ(w.only_job().state, JobState::succeeded);
  EXPECT_TRUE(w.core().status().pools[0].problem.empty());
}

TEST(CoreCi, WithoutACredentialAJobWaitsAndSaysWhy) {
  CiTestWorld w;
  w.start();
  w.ci_world.queue(pending("1"));
  w.ci_world.break_mint_with(FakeCiFault::denied);
  w.pass(seconds(30));
  auto j = w.only_job();
  EXPECT_EQ(j.state, JobState::queued);
  EXPECT_EQ(j.waiting.code, ReasonCode::ci_unavailable);
  EXPECT_NE(j.waiting.text.find("may not manage runners"), std::string::npos);
  EXPECT_LE(w.builders(), 1u);
  w.ci_world.break_mint_with(FakeCiFault::none, 0);
  w.pass(std::chrono::minutes(3));
  EXPECT_EQ(w.only_job().state, JobState::succeeded);
  EXPECT_TRUE(w.ci_world.registrations().empty());
}

TEST(CoreCi, ARegistrationWhoseAnswerWasLostIsRemoved) {
  CiTestWorld w;
  w.start();
  w.ci_world.queue(pending("1"));
  w.ci_world.break_mint_with(FakeCiFault::reply_lost, 1);
  w.pass(std::chrono::minutes(3));
  EXPECT_EQ(w.only_job().state, JobState::succeeded);
  EXPECT_EQ(w.ci_world.registered(), 2u);
  EXPECT_TRUE(w.ci_world.registrations().empty());
}

TEST(CoreCi, NothingIsCalledASuccessWithoutTheCisWord) {
  CiTestWorld w;
  w.start();
  w.ci_world.queue(pending("1"));
  w.pass(seconds(5));
  w.ci_world.break_with(FakeCiFault::unavailable);
  w.pass(std::chrono::minutes(5));
  EXPECT_EQ(w.only_job().state, JobState::lost);
  EXPECT_FALSE(w.ci_world.registrations().empty());
  w.ci_world.break_with(FakeCiFault::none);
  w.pass(std::chrono::minutes(15));
  EXPECT_TRUE(w.ci_world.registrations().empty());
}

TEST(CoreCi, AJobWhoseBuilderDiedBeforeItTookOneGetsAnother) {
  CiTestWorld w;
  int launches = 0;
  w.takes_jobs = false;
  w.fake.behaviour = [&](const BuilderRequest&) {
    FakeBehaviour b;
    if (++launches == 1) b.death = FakeBehaviour::Death::while_running;
    w.takes_jobs = launches > 1;
    return b;
  };
  w.start();
  w.ci_world.queue(pending("1"));
  w.pass(std::chrono::minutes(5));
  ASSERT_EQ(w.jobs().size(), 2u);
  EXPECT_EQ(w.jobs()[1].state, JobState::lost);
  EXPECT_EQ(w.jobs()[0].state, JobState::succeeded);
  EXPECT_EQ(w.ci_world.job("1")->outcome, CiOutcome::succeeded);
}

TEST(CoreCi, ABuilderWhoseAgentNeverConnectsIsReplacedLongBeforeItsTimeLimit) {
  CiTestWorld w;
  w.takes_jobs = false;
  w.takes = std::chrono::minutes(50);
  w.ci_world.say_offline(true);
  w.start();
  w.ci_world.queue(pending("1"));
  w.pass(std::chrono::minutes(4));
  EXPECT_EQ(w.only_job().state, JobState::running);
  w.pass(std::chrono::minutes(2));
  ASSERT_FALSE(w.jobs().empty());
  auto first = w.jobs().back();
  EXPECT_EQ(first.state, JobState::lost);
  EXPECT_NE(first.result.message.find("did not connect to the CI within 5"), std::string::npos) << first.result.message;
  auto starts = w.core().explain_pool("p")->starts;
  EXPECT_TRUE(std::any_of(starts.begin(), starts.end(), [](const PoolStart& s) {
    return s.problem.find("did not connect to the CI") != std::string::npos;
  }));
  w.takes_jobs = true;
  w.takes = seconds(5);
  w.pass(std::chrono::minutes(7));
  EXPECT_EQ(w.ci_world.job("1")->outcome, CiOutcome::succeeded);
  EXPECT_TRUE(w.ci_world.registrations().empty());
  EXPECT_TRUE(w.kinds().contains("ci.agent-absent"));
}

TEST(CoreCi, AnAgentThatIsConnectedWaitsForAsLongAsTheCiLetsIt) {
  CiTestWorld w;
  w.takes_jobs = false;
  w.takes = std::chrono::minutes(50);
  w.start();
  w.ci_world.queue(pending("1"));
  w.pass(std::chrono::minutes(30));
  EXPECT_EQ(w.only_job().state, JobState::running);
  w.start();  // another daemon
  w.pass(std::chrono::minutes(10));
  EXPECT_EQ(w.only_job().state, JobState::running);
  w.start();
  w.ci_world.say_offline(true);
  w.pass(std::chrono::minutes(7));
  EXPECT_EQ(w.jobs().back().state, JobState::lost) << "it is asked again after a restart";
}

TEST(CoreCi, AClockThatIsPutOnIsNoReasonToGiveAJobUp) {
  CiTestWorld w;
  w.start();
  w.ci_world.queue(pending("1"));
  w.pass(seconds(5));
  w.ci_world.break_with(FakeCiFault::unavailable);
  w.pass(seconds(30));
  ASSERT_EQ(w.only_job().state, JobState::running) << "it is over, and the CI does not say how";
  w.clock.jump(std::chrono::hours(1));
  w.pass(seconds(20));
  EXPECT_EQ(w.only_job().state, JobState::running);
  w.ci_world.break_with(FakeCiFault::none);
  w.pass(std::chrono::minutes(1));
  EXPECT_EQ(w.only_job().state, JobState::succeeded);
}

TEST(CoreCi, AJobThatNoBuilderEverTakesIsNotTriedForEver) {
  CiTestWorld w;
  w.takes_jobs = false;
  w.takes = seconds(1);
  w.start();
  w.ci_world.queue(pending("1"));
  w.pass(std::chrono::hours(2));
  EXPECT_EQ(w.jobs().size(), 5u);
  EXPECT_TRUE(w.kinds().contains("ci.given-up"));
}

TEST(CoreCi, CancelledHereItIsCancelledThereAndNotStartedAgain) {
  CiTestWorld w;
  w.platform.set_health({.accepts_builders = false, .disk_full = false, .problem = "not now"});
  w.start();
  w.ci_world.queue(pending("1"));
  w.pass(seconds(6));
  w.core().cancel(w.only_job().id, "ann", [](Result<Job>) {});
  w.platform.set_health({});
  w.pass(std::chrono::minutes(2));
  EXPECT_EQ(w.only_job().state, JobState::cancelled);
  EXPECT_EQ(w.ci_world.cancelled(), std::vector<std::string>{"1"});
}

TEST(CoreCi, GhostsAreRemovedAndOthersRegistrationsAreNot) {
  CiTestWorld w;
  w.start();
  w.ci_world.queue(pending("1"));
  w.pass(std::chrono::minutes(1));
  auto runner = w.only_job().external.runner;
  auto ours = runner.substr(0, 10) + "p-99";
  ASSERT_TRUE(w.ci_world.mint(ours, {}));
  ASSERT_TRUE(w.ci_world.mint("mf-000000-p-1", {}));
  w.pass(std::chrono::minutes(11));
  ASSERT_EQ(w.ci_world.registrations().size(), 1u);
  EXPECT_EQ(w.ci_world.registrations()[0].name, "mf-000000-p-1");
}

TEST(CoreCi, TheAgentThatStaysAfterItsJobIsEnded) {
  CiTestWorld w;
  w.takes = std::chrono::minutes(50);
  w.start();
  w.ci_world.queue(pending("1"));
  w.pass(seconds(10));
  ASSERT_EQ(w.only_job().state, JobState::running);
  w.ci_world.end("1", CiOutcome::succeeded, w.clock.now());
  w.pass(std::chrono::minutes(8));
  EXPECT_EQ(w.only_job().state, JobState::succeeded);
  EXPECT_TRUE(w.kinds().contains("ci.agent-stays"));
}

TEST(CoreCi, AJobThatACiSentEndsAsThatCiReports) {
  CiTestWorld w;
  PoolSpec other = w.pool();
  other.name = "q";
  other.ci = "buildbot";
  w.config.pools["q"] = other;
  w.takes = std::chrono::minutes(50);
  std::string seen;
  w.fake.outcome = [&](const agent::Assign& a) {
    if (auto s = a.secrets.find("WORKERPASS"); s != a.secrets.end()) seen = s->second;
    return FakeOutcome{.takes = std::chrono::minutes(50)};
  };
  w.start();
  JobRequest r{.spec = World::command({"worker"}), .idempotency_key = "buildbot/1", .ci = "buildbot"};
  r.spec.pool = "q";
  r.spec.submitter = "bb";
  r.external.id = "master/1";
  r.one_time_secrets["WORKERPASS"] = "one-time-password";
  w.core().submit(r, [](Result<Job>) {});
  w.pass(seconds(5));
  auto id = w.only_job().id;
  EXPECT_EQ(w.only_job().state, JobState::running);
  EXPECT_EQ(seen, "one-time-password");
  std::optional<Error> refused;
  auto note = [&](Result<Job> j) {
    if (!j) refused = j.error();
  };
  w.core().report(id, {CiOutcome::failed, "failure"}, "mallory", note);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->code, ErrorCode::denied);
  w.core().report(id, {CiOutcome::failed, "failure"}, "bb", note);
  w.pass(std::chrono::minutes(1));
  EXPECT_EQ(w.only_job().state, JobState::failed);
  EXPECT_EQ(w.only_job().external.result, "failure");
  EXPECT_FALSE(w.only_job().cancel_requested);
  auto written = boost::json::serialize(to_json(w.only_job()));
  auto entries = w.store.ledger(1, 100'000, {}).value();
  for (const auto& e : entries) written += e.detail;
  EXPECT_EQ(written.find("one-time-password"), std::string::npos);
}

TEST(CoreCi, OneTimeSecretsDoNotOutliveTheDaemon) {
  World w;
  w.platform.set_health({.accepts_builders = false, .disk_full = false, .problem = "not now"});
  w.start();
  JobRequest r{.spec = World::command({"worker"})};
  r.one_time_secrets["WORKERPASS"] = "one-time-password";
  w.core().submit(r, [](Result<Job>) {});
  w.run(seconds(1));
  w.platform.set_health({});
  w.start();
  w.run();
  EXPECT_EQ(w.job(1).result.cause, JobCause::secret_unavailable);
}

// Four jobs of which one needs another builder, killed at every boundary in turn.
void live(CiTestWorld& w, int crash_at) {
  w.takes = seconds(3);
  w.crash_at = crash_at;
  auto careful = [&](auto action) { w.survive(action); };
  for (auto id : {"1", "2", "3", "4"}) w.ci_world.queue(pending(id));
  careful([&] { w.start(); });
  careful([&] { w.pass(seconds(2)); });
  careful([&] { w.pass(seconds(20)); });
  careful([&] { w.pass(std::chrono::minutes(5)); });
  std::multiset<std::string> run;
  for (const auto& j : w.jobs()) {
    EXPECT_TRUE(is_final(j.state));
    if (j.external.taken) run.insert(j.external.id);
  }
  for (auto id : {"1", "2", "3", "4"}) {
    EXPECT_EQ(w.ci_world.job(id)->outcome, CiOutcome::succeeded) << id;
    EXPECT_EQ(run.count(id), 1u) << id;
  }
  EXPECT_TRUE(w.ci_world.registrations().empty());
  EXPECT_EQ(w.ci_world.most_jobs_of_a_registration(), 1u);
  EXPECT_LE(w.ci_world.registered(), 4u + w.pool().max);  // those of the crash may be lost, no more
  EXPECT_TRUE(w.fake.builders().empty());
  EXPECT_EQ(w.fake.counts().most_jobs_of_a_builder, 1);
  EXPECT_TRUE(w.store.verify_ledger());
}

TEST(CoreCi, NoGhostRemainsAndNoJobIsLostAfterAKillAtEveryStep) {
  std::size_t steps = 0;
  {
    CiTestWorld w;
    live(w, 0);
    steps = w.boundaries.size();
  }
  ASSERT_GT(steps, 100u);
  // Later ones are polls of an empty queue.
  for (std::size_t k = 1; k <= std::min<std::size_t>(steps, 260); ++k) {
    CiTestWorld w;
    SCOPED_TRACE("killed at boundary " + std::to_string(k));
    live(w, static_cast<int>(k));
    if (::testing::Test::HasFailure()) {
      ADD_FAILURE() << "after " << w.boundaries[k - 1];
      return;
    }
  }
}

}  // namespace
}  // namespace mayfly
