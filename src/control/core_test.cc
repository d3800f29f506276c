#include "control/core.h"

#include <fstream>

#include "control/core_world_test.h"

namespace mayfly {
namespace {

TEST(Core, RunsAJobAndLeavesNothing) {
  World w;
  w.start();
  auto id = w.submit();
  w.run();
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
  EXPECT_FALSE(w.job(id).builder.empty());
  EXPECT_EQ(w.builders(), 0u);
  EXPECT_TRUE(w.fake.builders().empty());
  EXPECT_TRUE(w.store.verify_ledger());
}

// Between its preparation and its assignment lies the commit.
TEST(Core, AnOrderTravelsAheadOfItsRecordButNotWithSecretsOrToAnotherTry) {
  World w;
  w.pool().warm = 1;
  w.pool().max = 1;
  w.start();
  w.run(seconds(1));
  w.store.fail_commits(Error{ErrorCode::exhausted, "the disk is full", {}, {}});
  w.submit();
  w.core().step();
  EXPECT_EQ(w.fake.counts().prepared, 1);
  EXPECT_EQ(w.fake.counts().most_runs_of_a_job, 0) << "nothing runs that is not recorded";
  w.store.fail_commits(std::nullopt);
  w.run(seconds(2));
  EXPECT_EQ(w.job(1).state, JobState::succeeded);
  auto secret = World::command({"x"});
  secret.secrets = {"known"};
  auto id = w.submit(secret);
  w.run(seconds(2));
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
  EXPECT_EQ(w.fake.counts().prepared, 1);
  EXPECT_EQ(w.fake.counts().other_prepared, 0);
}

TEST(Core, APreparedOrderThatWasNeverRecordedLeavesTheBuilderToAnother) {
  World w;
  w.pool().warm = 1;
  w.pool().max = 1;
  w.start();
  w.run(seconds(1));
  w.crash_before = "commit.before";
  EXPECT_THROW(
      {
        w.submit();
        w.core().step();
      },
      Crash);
  EXPECT_EQ(w.fake.counts().prepared, 1);
  w.crash_before.clear();
  w.start();
  w.run(seconds(1));
  auto id = w.submit(World::command({"other"}));
  w.run(seconds(2));
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
  EXPECT_EQ(w.fake.counts().other_prepared, 0);
}

TEST(Core, TellsTheOneWhoWaits) {
  World w;
  w.start();
  auto id = w.submit();
  std::optional<Job> told;
  w.core().when_ended(id, [&](Result<Job> j) { told = j.value(); });
  EXPECT_FALSE(told);
  w.run();
  ASSERT_TRUE(told);
  EXPECT_EQ(told->state, JobState::succeeded);
}

TEST(Core, WarmBuildersTakeOneJobEach) {
  World w;
  w.pool().warm = 2;
  w.start();
  w.run();
  EXPECT_EQ(w.builders(), 2u);
  auto a = w.submit(), b = w.submit();
  w.run();
  EXPECT_NE(w.job(a).builder, w.job(b).builder);
  EXPECT_EQ(w.builders(), 2u);  // replaced
  EXPECT_EQ(w.fake.counts().most_jobs_of_a_builder, 1);
}

TEST(Core, NeverMoreBuildersThanMax) {
  World w;
  w.fake.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = seconds(10)}; };
  w.start();
  for (int i = 0; i < 20; ++i) w.submit();
  w.run();
  EXPECT_LE(w.fake.counts().most_builders, 3);
  for (JobId id = 1; id <= 20; ++id) EXPECT_EQ(w.job(id).state, JobState::succeeded);
}

TEST(Core, TheSameKeyMakesNoSecondJob) {
  World w;
  w.start();
  auto a = w.submit(World::command({"true"}), "k");
  auto b = w.submit(World::command({"true"}), "k");
  EXPECT_EQ(a, b);
  w.run();
  EXPECT_EQ(w.submit(World::command({"true"}), "k"), a);
}

TEST(Core, RefusesWhatCannotRun) {
  World w;
  w.start();
  auto spec = World::command({"true"});
  spec.pool = "q";
  EXPECT_EQ(w.submit(spec), 0u);
  EXPECT_EQ(w.refusal->code, ErrorCode::not_found);
  spec = World::command({});
  EXPECT_EQ(w.submit(spec), 0u);
  spec = World::command({"true"});
  spec.secrets = {"forbidden"};
  EXPECT_EQ(w.submit(spec), 0u);
  EXPECT_EQ(w.refusal->code, ErrorCode::denied);
  spec = World::command({"true"});
  spec.input = "../../etc/passwd";
  EXPECT_EQ(w.submit(spec), 0u);
  spec = World::command({"true"});
  spec.timeout = std::chrono::hours(100);
  EXPECT_EQ(w.submit(spec), 0u);
}

TEST(Core, AMissingSecretFailsTheJobAlone) {
  World w;
  w.start();
  auto spec = World::command({"true"});
  spec.secrets = {"unknown"};
  auto bad = w.submit(spec);
  spec.secrets = {"known"};
  auto good = w.submit(spec);
  w.run();
  EXPECT_EQ(w.job(bad).result.cause, JobCause::secret_unavailable);
  EXPECT_EQ(w.job(good).state, JobState::succeeded);
}

TEST(Core, CancelsQueuedAndRunningJobs) {
  World w;
  w.pool().max = 1;
  w.fake.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = std::chrono::minutes(30)}; };
  w.start();
  auto running = w.submit(), queued = w.submit();
  w.run(seconds(1));
  EXPECT_EQ(w.job(running).state, JobState::running);
  EXPECT_EQ(w.job(queued).waiting.code, ReasonCode::pool_at_max);
  w.core().cancel(queued, "ann", [](Result<Job>) {});
  w.core().cancel(running, "ann", [](Result<Job>) {});
  w.run(std::chrono::minutes(2));
  EXPECT_EQ(w.job(running).state, JobState::cancelled);
  EXPECT_EQ(w.job(queued).state, JobState::cancelled);
  EXPECT_EQ(w.builders(), 0u);
}

TEST(Core, ALostBuilderIsToldFromAFailedJob) {
  World w;
  w.fake.behaviour = [](const BuilderRequest&) { return FakeBehaviour{.death = FakeBehaviour::Death::while_running}; };
  w.fake.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = seconds(5)}; };
  w.start();
  auto id = w.submit();
  w.run();
  EXPECT_EQ(w.job(id).state, JobState::lost);
  EXPECT_EQ(w.job(id).result.cause, JobCause::builder_lost);
  EXPECT_TRUE(w.fake.builders().empty());
}

TEST(Core, OnlyARepeatableJobIsRepeatedAndOnce) {
  World w;
  w.fake.behaviour = [](const BuilderRequest&) { return FakeBehaviour{.death = FakeBehaviour::Death::while_running}; };
  w.fake.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = seconds(5)}; };
  w.start();
  auto spec = World::command({"true"});
  spec.repeatable = true;
  auto id = w.submit(spec);
  w.run();
  EXPECT_EQ(w.job(id).state, JobState::lost);
  EXPECT_EQ(w.job(id).attempt, 2);
  EXPECT_EQ(w.fake.counts().most_runs_of_a_job, 2);
}

TEST(Core, AnImageThatDoesNotExistEndsItsJobs) {
  World w;
  w.platform.remove_image("img");
  w.start();
  auto id = w.submit();
  w.run();
  EXPECT_EQ(w.job(id).state, JobState::failed);
  EXPECT_EQ(w.job(id).result.cause, JobCause::image_unavailable);
  auto again = w.submit();  // gets a try of its own
  w.run();
  EXPECT_EQ(w.job(again).result.cause, JobCause::image_unavailable);
}

TEST(Core, AnImageThatCannotBeHadForNowIsWaitedForButNotForEver) {
  World w;
  w.platform.fail_prepare(Error{ErrorCode::unavailable, "the registry does not answer", {}, {}});
  w.start();
  auto id = w.submit();
  w.run(seconds(25));
  EXPECT_EQ(w.job(id).waiting.code, ReasonCode::image_unavailable);
  EXPECT_TRUE(w.job(id).waiting.until);
  w.platform.fail_prepare(std::nullopt);
  w.run(seconds(15));
  EXPECT_EQ(w.job(id).state, JobState::succeeded);

  World gone;
  gone.platform.fail_prepare(Error{ErrorCode::unavailable, "the registry does not answer", {}, {}});
  gone.start();
  auto hopeless = gone.submit();
  gone.run();
  EXPECT_EQ(gone.job(hopeless).result.cause, JobCause::image_unavailable);
}

TEST(Core, StartsThatFailAreTriedAgainAndThenSaySo) {
  World w;
  w.platform.fail_launch(Error{ErrorCode::unavailable, "no room", {}, {}});
  w.start();
  auto id = w.submit();
  w.run(seconds(1));
  EXPECT_EQ(w.job(id).waiting.code, ReasonCode::start_backoff);
  EXPECT_NE(w.job(id).waiting.text.find("no room"), std::string::npos);
  w.platform.fail_launch(std::nullopt);
  w.run();
  EXPECT_EQ(w.job(id).state, JobState::succeeded);

  w.platform.fail_launch(Error{ErrorCode::unavailable, "no room", {}, {}});
  auto hopeless = w.submit();
  w.run();
  EXPECT_EQ(w.job(hopeless).result.cause, JobCause::start_failed);
  w.platform.fail_launch(std::nullopt);
  auto later = w.submit();
  w.run();
  EXPECT_EQ(w.job(later).state, JobState::succeeded);
}

TEST(Core, ABuilderThatCannotBeRemovedIsTriedAgain) {
  World w;
  w.start();
  w.platform.fail_stop(Error{ErrorCode::unavailable, "busy", {}, {}});
  auto id = w.submit();
  w.run(seconds(2));
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
  EXPECT_EQ(w.builders(), 1u);
  w.platform.fail_stop(std::nullopt);
  w.run();
  EXPECT_EQ(w.builders(), 0u);
}

TEST(Core, AFullStoreStopsNewJobsAndRecovers) {
  World w;
  w.fake.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = seconds(1)}; };
  w.start();
  auto id = w.submit();
  w.run(milliseconds(100));
  w.store.fail_commits(Error{ErrorCode::exhausted, "the disk is full", {}, {}});
  w.run(seconds(3));
  EXPECT_EQ(w.submit(), 0u);
  EXPECT_EQ(w.refusal->code, ErrorCode::exhausted);
  EXPECT_FALSE(w.core().status().notice.empty());
  w.store.fail_commits(std::nullopt);
  w.run();
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
  auto next = w.submit();
  w.run();
  EXPECT_EQ(w.job(next).state, JobState::succeeded);
  EXPECT_TRUE(w.store.verify_ledger());
}

// The API tells the two apart by the place: 429, try again, and 507, free some space.
TEST(Core, AFullQueueIsNoFullDisk) {
  World w;
  w.start();
  std::optional<Error> refusal;
  for (int i = 0; i <= 100'000; ++i)
    w.core().submit(World::command({"true"}), {}, [&](Result<Job> j) {
      if (!j) refusal = j.error();
    });
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->code, ErrorCode::exhausted);
  EXPECT_EQ(refusal->where, "queue");
}

TEST(Core, AFullDiskIsTheReasonWhyAJobWaits) {
  World w;
  w.start();
  w.run();
  w.platform.set_health({.accepts_builders = false, .disk_full = true, .problem = "3 MiB are free"});
  auto id = w.submit();
  w.run(seconds(1));
  EXPECT_EQ(w.job(id).waiting.code, ReasonCode::disk_full);
  w.platform.set_health({});
  w.run();
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
}

TEST(Core, AnUploadThatNoJobCameForIsForgotten) {
  World w;
  for (auto name : {"aa", "bb", "cc"}) std::ofstream(w.paths.upload(name)) << "tar";
  auto old = std::filesystem::file_time_type::clock::now() - std::chrono::hours(2);
  for (auto name : {"aa", "bb"}) std::filesystem::last_write_time(w.paths.upload(name), old);
  w.platform.set_health({.accepts_builders = false, .disk_full = false, .problem = "not now"});
  w.start();
  auto spec = World::command({"true"});
  spec.input = "bb";
  w.submit(spec);
  w.clock.advance(std::chrono::minutes(11));
  w.core().step();
  EXPECT_FALSE(std::filesystem::exists(w.paths.upload("aa")));
  EXPECT_TRUE(std::filesystem::exists(w.paths.upload("bb")));  // its job still waits
  EXPECT_TRUE(std::filesystem::exists(w.paths.upload("cc")));  // young
}

TEST(Core, APoolThatWasRemovedFinishesWhatRuns) {
  World w;
  auto other = w.pool();
  other.name = "q";
  w.config.pools["q"] = other;
  w.fake.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = std::chrono::minutes(10)}; };
  w.pool().warm = 1;
  w.start();
  auto running = w.submit();
  w.run(seconds(1));
  w.config.pools["q"].max = 1;
  w.config.pools.erase("p");
  w.start();  // with another configuration
  w.run(seconds(1));
  EXPECT_EQ(w.job(running).state, JobState::running);
  EXPECT_EQ(w.builders(), 1u);  // the warm one went
  w.core().cancel(running, "ann", [](Result<Job>) {});
  w.run(std::chrono::minutes(20));
  EXPECT_EQ(w.job(running).state, JobState::cancelled);
  EXPECT_TRUE(w.fake.builders().empty());
}

TEST(Core, AJobThatNeverReachedItsBuilderGoesBackToTheQueue) {
  World w;
  w.start();
  w.run();
  auto id = w.submit();
  // Dies when the assignment is written down and not yet sent.
  try {
    for (int i = 0; i < 100 && w.job(id).state == JobState::queued; ++i) {
      w.crash_before = "assign.before";
      w.run(seconds(1));
    }
    FAIL() << "no assignment";
  } catch (const Crash&) {
    w.crash_before.clear();
  }
  w.start();
  auto first = w.job(id).builder;
  w.run();
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
  EXPECT_NE(w.job(id).builder, first);
  EXPECT_EQ(w.job(id).attempt, 1);  // it never ran there: this is no repeat
  EXPECT_EQ(w.fake.counts().most_runs_of_a_job, 1);
}

TEST(Core, ThePoolFollowsItsSchedule) {
  World w;
  ScheduleEntry day, night;
  day.cron = "0 8 * * *";
  day.warm = 2;
  night.cron = "0 20 * * *";
  night.warm = 0;
  w.pool().schedule = {day, night};
  w.clock.set(from_micros(1'800'000'000'000'000 - 1'000'000));  // 07:59:59 UTC
  w.start();
  w.run(milliseconds(500));
  EXPECT_EQ(w.builders(), 0u);
  w.run(seconds(10));
  EXPECT_EQ(w.builders(), 2u);
  EXPECT_EQ(w.core().status().pools[0].spec.warm, 2);
  w.run(std::chrono::hours(12));
  EXPECT_EQ(w.builders(), 0u);
}

// What follows, the simulation found (tests/simulation).

TEST(Core, AReadyBuilderGetsNoJobBeforeItsImageIsKnown) {
  World w;
  w.pool().warm = 1;
  w.start();
  w.run();
  w.start();
  auto id = w.submit();  // before the image was prepared again: its environment is not known
  std::map<std::string, std::string> env;
  w.fake.outcome = [&](const agent::Assign& a) {
    env = a.env;
    return FakeOutcome();
  };
  w.run();
  EXPECT_EQ(w.job(id).state, JobState::succeeded);
  EXPECT_EQ(env["PATH"], "/usr/bin:/bin");
}

TEST(Core, PlansAtOnceWhenTheStoreCanBeWrittenAgain) {
  World w;
  w.start();
  w.run();
  w.store.fail_commits(Error{ErrorCode::exhausted, "the disk is full", {}, {}});
  w.submit();
  w.core().step();
  w.store.fail_commits(std::nullopt);
  w.core().step();
  ASSERT_TRUE(w.core().wake());
  EXPECT_LE(*w.core().wake(), w.clock.now());
}

}  // namespace
}  // namespace mayfly
