#pragma once
// What every store must do (ports/store.h). One test file of each store includes this, says how to make one, and
// instantiates:
//
//   INSTANTIATE_TEST_SUITE_P(Sqlite, StoreContract, testing::Values(StoreMaker{[] { return std::make_unique<…>(); }}));
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ports/store.h"
#include "tests/contract/store_samples.h"

namespace mayfly::contract {

class StoreUnderTest {
 public:
  virtual ~StoreUnderTest() = default;
  virtual Store& store() = 0;
  virtual void reopen() = 0;  // as a restarted daemon would; a store that lives in memory does nothing
};
struct StoreMaker {
  std::function<std::unique_ptr<StoreUnderTest>()> make;
};
inline void PrintTo(const StoreMaker&, std::ostream* out) { *out << "a store"; }

inline std::vector<JobId> ids(const std::vector<Job>& jobs) {
  std::vector<JobId> out;
  for (const auto& j : jobs) out.push_back(j.id);
  return out;
}

class StoreContract : public testing::TestWithParam<StoreMaker> {
 protected:
  void SetUp() override { under_test_ = GetParam().make(); }
  Store& store() { return under_test_->store(); }
  void reopen() { under_test_->reopen(); }

  void commit(const Batch& batch) {
    auto done = store().commit(batch);
    ASSERT_TRUE(done) << done.error().text();
  }
  StoreSnapshot load() {
    auto s = store().load();
    EXPECT_TRUE(s) << s.error().text();
    return s.value_or(StoreSnapshot());
  }
  std::vector<JobId> job_ids(const JobFilter& f) {
    auto j = store().jobs(f);
    EXPECT_TRUE(j) << j.error().text();
    return ids(j.value_or(std::vector<Job>()));
  }
  std::uint64_t verified() {
    auto c = store().verify_ledger();
    EXPECT_TRUE(c) << c.error().text();
    return c ? c->entries : 0;
  }

 private:
  std::unique_ptr<StoreUnderTest> under_test_;
};

TEST_P(StoreContract, AnEmptyStoreStartsAtOne) {
  auto s = load();
  EXPECT_TRUE(s.jobs.empty());
  EXPECT_TRUE(s.builders.empty());
  EXPECT_EQ(s.next_job, 1U);
  EXPECT_EQ(s.next_builder, 1U);
  EXPECT_EQ(verified(), 0U);
  EXPECT_FALSE(store().job(1)->has_value());
  EXPECT_FALSE(store().builder("general-1")->has_value());
  EXPECT_FALSE(store().job_with_key("")->has_value());
}

TEST_P(StoreContract, KeepsWhatWasCommittedOverARestart) {
  auto job = make_job(1);
  job.waiting = {.code = ReasonCode::pool_at_max, .text = "all busy", .since = from_micros(5), .until = from_micros(9)};
  job.spec.env = {{"A", "line\nline"}, {"B", ""}};
  commit({.jobs = {job}, .builders = {make_builder("general-4")}, .ledger = {make_entry("job/1")}});
  reopen();
  auto s = load();
  ASSERT_EQ(ids(s.jobs), std::vector<JobId>{1});
  EXPECT_EQ(s.jobs[0].spec, job.spec);
  EXPECT_EQ(s.jobs[0].waiting, job.waiting);
  EXPECT_EQ(s.jobs[0].queued_at, job.queued_at);
  ASSERT_EQ(s.builders.size(), 1U);
  EXPECT_EQ(s.builders[0].id, "general-4");
  EXPECT_EQ(s.next_job, 2U);
  EXPECT_EQ(s.next_builder, 5U);
  EXPECT_EQ(verified(), 1U);
}

TEST_P(StoreContract, LoadsOnlyWhatIsStillGoingOn) {
  commit({.jobs = {make_job(3, JobState::running), make_job(1, JobState::succeeded), make_job(2),
                   make_job(4, JobState::assigned), make_job(5, JobState::lost)},
          .builders = {make_builder("general-10"), make_builder("general-9", BuilderState::stopping),
                       make_builder("general-8", BuilderState::gone), make_builder("general-7", BuilderState::lost)}});
  auto s = load();
  EXPECT_EQ(ids(s.jobs), (std::vector<JobId>{2, 3, 4}));
  ASSERT_EQ(s.builders.size(), 2U);
  EXPECT_EQ(s.builders[0].id, "general-9");
  EXPECT_EQ(s.builders[1].id, "general-10");
}

TEST_P(StoreContract, ReplacesByIdAndTheLastOfABatchCounts) {
  commit({.jobs = {make_job(1)}, .builders = {make_builder("general-1", BuilderState::starting)}});
  commit({.jobs = {make_job(1, JobState::running), make_job(1, JobState::failed)},
          .builders = {make_builder("general-1", BuilderState::busy, 1)}});
  EXPECT_EQ((*store().job(1))->state, JobState::failed);
  EXPECT_EQ((*store().builder("general-1"))->state, BuilderState::busy);
  EXPECT_EQ((*store().builder("general-1"))->job, 1U);
  EXPECT_EQ(job_ids({}).size(), 1U);
}

TEST_P(StoreContract, FiltersAndPagesJobsNewestFirst) {
  commit(
      {.jobs = {make_job(1, JobState::succeeded), make_job(2, JobState::failed), make_job(3, JobState::queued, "other"),
                make_job(4, JobState::running), make_job(5, JobState::succeeded, "other")}});
  using Ids = std::vector<JobId>;
  EXPECT_EQ(job_ids({}), (Ids{5, 4, 3, 2, 1}));
  EXPECT_EQ(job_ids({.ended = true}), (Ids{5, 2, 1}));
  EXPECT_EQ(job_ids({.ended = false}), (Ids{4, 3}));
  EXPECT_EQ(job_ids({.state = JobState::succeeded}), (Ids{5, 1}));
  EXPECT_EQ(job_ids({.state = JobState::succeeded, .ended = false}), Ids{});
  EXPECT_EQ(job_ids({.pool = "other"}), (Ids{5, 3}));
  EXPECT_EQ(job_ids({.ended = true, .pool = "other"}), Ids{5});
  EXPECT_EQ(job_ids({.limit = 2}), (Ids{5, 4}));
  EXPECT_EQ(job_ids({.before = 4, .limit = 2}), (Ids{3, 2}));
  EXPECT_EQ(job_ids({.before = 1}), Ids{});
}

TEST_P(StoreContract, ListsBuildersNewestFirstByNumber) {
  commit({.builders = {make_builder("a-9"), make_builder("b-10", BuilderState::gone), make_builder("a-2")}});
  auto all = *store().builders(10);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all[0].id, "b-10");
  EXPECT_EQ(all[1].id, "a-9");
  EXPECT_EQ(all[2].id, "a-2");
  EXPECT_EQ(store().builders(1)->size(), 1U);
}

TEST_P(StoreContract, FindsAJobByItsKeyAndRefusesASecondOne) {
  auto one = make_job(1), two = make_job(2), three = make_job(3), four = make_job(4);
  one.idempotency_key = two.idempotency_key = "push-17";
  commit({.jobs = {one, three, four}, .ledger = {make_entry("job/1")}});  // no key, twice
  EXPECT_EQ(*store().job_with_key("push-17"), std::optional<JobId>(1));
  EXPECT_FALSE(store().job_with_key("push-18")->has_value());

  auto refused = store().commit(
      {.jobs = {make_job(5), two}, .builders = {make_builder("general-3")}, .ledger = {make_entry("job/2")}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_FALSE(store().job(5)->has_value()) << "half a batch was written";
  EXPECT_FALSE(store().builder("general-3")->has_value());
  EXPECT_EQ(load().next_job, 5U);
  EXPECT_EQ(verified(), 1U);

  one.state = JobState::running;  // the same job keeps its key
  commit({.jobs = {one}, .ledger = {make_entry("job/1", "job.started")}});
  EXPECT_EQ(verified(), 2U);
}

TEST_P(StoreContract, ForgetsJobsAndNeverGivesTheirNumbersAgain) {
  commit({.jobs = {make_job(1, JobState::succeeded), make_job(2, JobState::failed)},
          .builders = {make_builder("general-1", BuilderState::gone, 1),
                       make_builder("general-2", BuilderState::gone, 2), make_builder("general-3", BuilderState::lost),
                       make_builder("general-4"), make_builder("general-5", BuilderState::stopping, 2)},
          .ledger = {make_entry("job/1"), make_entry("job/2")}});
  commit({.forget = {2, 77}});
  reopen();
  EXPECT_TRUE(store().job(1)->has_value());
  EXPECT_FALSE(store().job(2)->has_value());
  EXPECT_TRUE(store().builder("general-1")->has_value()) << "its job is still known";
  EXPECT_FALSE(store().builder("general-2")->has_value());
  EXPECT_FALSE(store().builder("general-3")->has_value()) << "it was over before and never had a job";
  EXPECT_TRUE(store().builder("general-4")->has_value()) << "it is alive";
  EXPECT_TRUE(store().builder("general-5")->has_value()) << "it is not gone yet";
  commit({.builders = {make_builder("general-4", BuilderState::gone), make_builder("general-5", BuilderState::gone)},
          .forget = {1}});
  EXPECT_EQ(load().next_job, 3U);
  EXPECT_EQ(load().next_builder, 6U);
  EXPECT_EQ(verified(), 2U) << "the ledger forgets nothing";
}

TEST_P(StoreContract, RefusesToForgetAJobThatHasNotEnded) {
  commit({.jobs = {make_job(1, JobState::running), make_job(2, JobState::failed)}});
  auto refused = store().commit({.jobs = {make_job(3)}, .ledger = {make_entry("x")}, .forget = {2, 1}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_EQ(job_ids({}), (std::vector<JobId>{2, 1}));
  EXPECT_EQ(verified(), 0U);
  // What the batch itself says of the job counts.
  commit({.jobs = {make_job(1, JobState::failed)}, .forget = {1}});
  EXPECT_EQ(job_ids({}), std::vector<JobId>{2});
}

TEST_P(StoreContract, AForgottenKeyMayBeUsedAgain) {
  auto one = make_job(1, JobState::succeeded), two = make_job(2);
  one.idempotency_key = two.idempotency_key = "k";
  commit({.jobs = {one}});
  commit({.forget = {1}});
  EXPECT_FALSE(store().job_with_key("k")->has_value());
  commit({.jobs = {two}});
  EXPECT_EQ(*store().job_with_key("k"), std::optional<JobId>(2));
}

TEST_P(StoreContract, TellsWhichJobsEndedBefore) {
  auto late = make_job(1, JobState::failed);
  late.ended_at = from_micros(9'000'000);
  commit(
      {.jobs = {late, make_job(2, JobState::succeeded), make_job(3, JobState::running), make_job(4, JobState::lost)}});
  using Ids = std::vector<JobId>;
  EXPECT_EQ(*store().jobs_ended_before(from_micros(9'000'000), 10), (Ids{2, 4}));
  EXPECT_EQ(*store().jobs_ended_before(from_micros(9'000'001), 10), (Ids{2, 4, 1})) << "oldest end first";
  EXPECT_EQ(*store().jobs_ended_before(from_micros(9'000'001), 1), Ids{2});
  EXPECT_EQ(*store().jobs_ended_before(from_micros(2500), 10), Ids{});
}

TEST_P(StoreContract, ChainsTheLedgerAndReadsItBySubject) {
  commit({.ledger = {make_entry("job/1"), make_entry("job/2")}});
  reopen();
  commit({.ledger = {make_entry("job/1", "job.started")}});
  auto all = *store().ledger(1, 100);
  ASSERT_EQ(all.size(), 3U);
  EXPECT_TRUE(verify_link(nullptr, all[0]));
  EXPECT_TRUE(verify_link(&all[0], all[1]));
  EXPECT_TRUE(verify_link(&all[1], all[2]));
  EXPECT_EQ(all[2].kind, "job.started");
  EXPECT_EQ(all[2].detail, R"({"by":"test"})");
  EXPECT_EQ(all[2].at, from_micros(42));
  auto story = *store().ledger(0, 100, "job/1");
  ASSERT_EQ(story.size(), 2U);
  EXPECT_EQ(story[1].seq, 3U);
  EXPECT_EQ(store().ledger(2, 1)->front().seq, 2U);
  EXPECT_EQ(store().ledger(2, 1)->size(), 1U);
  EXPECT_TRUE(store().ledger(4, 100)->empty());
  auto check = *store().verify_ledger();
  EXPECT_EQ(check.entries, 3U);
  EXPECT_EQ(check.head, all[2].hash);
}

TEST_P(StoreContract, KeepsVersionsInTheirOrderAndReplacesThem) {
  auto v = [](const char* image, const char* number) {
    ImageVersion out;
    out.image = image;
    out.number = SemVer::parse(number).value();
    out.digest = std::string("sha256:") + number;
    out.approved_by = {"ann", "bob"};
    return out;
  };
  commit({.versions = {v("general", "1.10.0"), v("general", "1.9.0"), v("android", "3.0.0")}});
  auto withdrawn = v("general", "1.9.0");
  withdrawn.state = VersionState::withdrawn;
  withdrawn.withdrawn_why = "line\nline \xff";
  commit({.versions = {withdrawn}});
  reopen();
  auto s = load();
  ASSERT_EQ(s.versions.size(), 3U);
  EXPECT_EQ(s.versions[0], v("android", "3.0.0"));
  EXPECT_EQ(s.versions[1], withdrawn);
  EXPECT_EQ(s.versions[2], v("general", "1.10.0")) << "by number, not by text";
}

TEST_P(StoreContract, KeepsWherePoolsStandAndUndoesItWithItsBatch) {
  PoolVersions p{.pool = "p", .image = "general", .current = SemVer{1, 0, 0}, .rollout = Rollout(), .refused = {}};
  p.rollout->to = SemVer{1, 0, 1};
  p.rollout->new_tally = {.launched = 4, .ready = 2, .jobs = 3, .failed = 2, .failed_starts = 1};
  p.refused = {SemVer{0, 9, 0}};
  commit({.jobs = {make_job(1, JobState::running)}, .pools = {p}});
  auto moved = p;
  moved.current = SemVer{1, 0, 1};
  EXPECT_FALSE(store().commit({.forget = {1}, .versions = {ImageVersion()}, .pools = {moved}}));
  reopen();
  ASSERT_EQ(load().pools, std::vector<PoolVersions>{p});
  EXPECT_TRUE(load().versions.empty());
  commit({.pools = {moved}});
  EXPECT_EQ(load().pools, std::vector<PoolVersions>{moved});
}

TEST_P(StoreContract, KeepsWhereVersionsArePublished) {
  Publication p;
  p.image = "general", p.number = SemVer{1, 0, 0}, p.repository = "r.example/general";
  p.state = PublicationState::failed, p.channels = {"latest", "1"}, p.problem = "it is away", p.attempts = 3;
  p.next_try = from_micros(7);
  auto other = p;
  other.repository = "other.example/general";
  commit({.publications = {p, other}});
  p.state = PublicationState::published;
  p.published_at = from_micros(8);
  commit({.publications = {p}});
  reopen();
  EXPECT_EQ(load().publications, (std::vector<Publication>{other, p}));
}

TEST_P(StoreContract, FindsJobsByTheVersionThatTheyRanOn) {
  auto one = make_job(1, JobState::failed), two = make_job(2, JobState::failed), three = make_job(3);
  one.image_version = "general@2.4.1";
  two.image_version = "general@2.4.0";
  commit({.jobs = {one, two, three}});
  EXPECT_EQ(job_ids({.image_version = "general@2.4.1"}), std::vector<JobId>{1});
  EXPECT_EQ(job_ids({.state = JobState::succeeded, .image_version = "general@2.4.1"}), std::vector<JobId>{});
  EXPECT_EQ((*store().job(1))->image_version, "general@2.4.1");
  commit({.jobs = {make_job(1)}});  // put back into the queue: it has run on none
  EXPECT_EQ(job_ids({.image_version = "general@2.4.1"}), std::vector<JobId>{});
}

TEST_P(StoreContract, AnEmptyBatchIsNothing) {
  commit({});
  EXPECT_EQ(verified(), 0U);
}

TEST_P(StoreContract, KeepsBuildsOfImages) {
  auto make = [](BuildId id, const char* image, BuildState state) {
    ImageBuild b;
    b.id = id, b.image = image, b.state = state;
    return b;
  };
  commit({.image_builds = {make(1, "a", BuildState::failed), make(2, "b", BuildState::building)}});
  commit({.image_builds = {make(3, "a", BuildState::queued)}});
  reopen();
  auto numbers = [](const Result<std::vector<ImageBuild>>& builds) {
    std::vector<BuildId> out;
    for (const auto& b : builds.value_or(std::vector<ImageBuild>())) out.push_back(b.id);
    return out;
  };
  EXPECT_EQ(numbers(store().image_builds("", 10)), (std::vector<BuildId>{3, 2, 1}));
  EXPECT_EQ(numbers(store().image_builds("", 1)), std::vector<BuildId>{3});
  EXPECT_EQ(numbers(store().image_builds("a", 10)), (std::vector<BuildId>{3, 1}));
  EXPECT_EQ(numbers(store().active_image_builds()), (std::vector<BuildId>{2, 3}));
  commit({.image_builds = {make(2, "b", BuildState::passed)}});
  EXPECT_EQ(numbers(store().active_image_builds()), std::vector<BuildId>{3});
  EXPECT_EQ((*store().image_build(2))->state, BuildState::passed);
  EXPECT_FALSE(store().image_build(4)->has_value());
}

TEST_P(StoreContract, KeepsBytesAsTheyAre) {
  auto job = make_job(1);
  job.spec.script = std::string("#!/bin/sh\n\0\x01\xff\xfe\"\\\xc3\xa9", 18);
  job.builder = "general-1";
  commit({.jobs = {job}, .ledger = {{.at = {}, .kind = "k", .subject = std::string("s\0t", 3), .detail = "\xff"}}});
  reopen();
  EXPECT_EQ((*store().job(1))->spec.script, job.spec.script);
  EXPECT_EQ(store().ledger(1, 1)->front().subject, std::string("s\0t", 3));
  EXPECT_EQ(store().ledger(1, 1, std::string("s\0t", 3))->size(), 1U);
  EXPECT_EQ(verified(), 1U);
}

TEST_P(StoreContract, ServesSeveralThreadsAtOnce) {
  constexpr int threads = 4, each = 25;
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t)
    pool.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) {
        auto id = static_cast<JobId>(t * each + i + 1);
        EXPECT_TRUE(store().commit({.jobs = {make_job(id)}, .ledger = {make_entry(fmt::format("job/{}", id))}}));
        EXPECT_TRUE(store().jobs({.limit = 3}));
        if (i % 10 == 0) EXPECT_TRUE(store().verify_ledger());
      }
    });
  for (auto& t : pool) t.join();
  EXPECT_EQ(load().jobs.size(), static_cast<std::size_t>(threads * each));
  EXPECT_EQ(verified(), static_cast<std::uint64_t>(threads * each));
}

}  // namespace mayfly::contract
