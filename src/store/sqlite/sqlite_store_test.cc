#include "store/sqlite/sqlite_store.h"

#include <array>

#include <fmt/format.h>

#include <rapidcheck.h>
#include <sys/stat.h>

#include "model/json.h"
#include "store/sqlite/migrations.h"
#include "store/sqlite/rows.h"
#include "store/sqlite/scratch.h"
#include "tests/contract/store_samples.h"

namespace mayfly {
namespace {

std::string any_text() { return *rc::gen::arbitrary<std::string>(); }
Time any_time() { return from_micros(*rc::gen::inRange<std::int64_t>(0, 4'000'000'000'000'000)); }
template <class E>
E any_of(int count) {
  return static_cast<E>(*rc::gen::inRange(0, count));
}

JobSpec any_spec() {
  JobSpec s;
  s.pool = any_text();
  s.name = any_text();
  s.command = *rc::gen::arbitrary<std::vector<std::string>>();
  s.script = any_text();
  s.env = *rc::gen::arbitrary<std::map<std::string, std::string>>();
  s.secrets = *rc::gen::arbitrary<std::vector<std::string>>();
  if (*rc::gen::arbitrary<bool>()) s.timeout = Duration(*rc::gen::inRange<std::int64_t>(0, INT64_MAX));
  s.priority = *rc::gen::inRange(-1000, 1001);
  s.input = any_text();
  s.output = any_text();
  s.repeatable = *rc::gen::arbitrary<bool>();
  s.submitter = any_text();
  s.one_time_secrets = *rc::gen::arbitrary<std::vector<std::string>>();
  return s;
}

// Any job that can be: it waits only while queued, and has a result only once its builder has ended it.
Job any_job() {
  Job j;
  j.id = *rc::gen::inRange<JobId>(1, 1ULL << 62);
  j.spec = any_spec();
  j.state = any_of<JobState>(8);
  if (j.state == JobState::queued) {
    j.waiting = {.code = any_of<ReasonCode>(14), .text = any_text(), .since = any_time(), .until = {}};
    if (*rc::gen::arbitrary<bool>()) j.waiting.until = any_time() + Duration(1);
  }
  if (is_final(j.state)) {
    j.result = {.cause = any_of<JobCause>(15),
                .exit_code = *rc::gen::arbitrary<int>(),
                .signal = *rc::gen::arbitrary<int>(),
                .message = any_text()};
    j.log_bytes = *rc::gen::inRange<std::int64_t>(0, INT64_MAX);
    j.log_truncated = *rc::gen::arbitrary<bool>();
  }
  if (j.state == JobState::running && *rc::gen::arbitrary<bool>())
    j.result = {.cause = JobCause::exited, .exit_code = 3, .signal = 0, .message = any_text()};
  j.builder = any_text();
  j.image_digest = any_text();
  j.attempt = *rc::gen::arbitrary<int>();
  j.lost_on = any_text();
  j.cancel_requested = *rc::gen::arbitrary<bool>();
  j.queued_at = any_time(), j.assigned_at = any_time(), j.started_at = any_time(), j.ended_at = any_time();
  j.ci = any_text();
  j.external = {.id = "x" + any_text(),
                .url = any_text(),
                .name = any_text(),
                .runner = any_text(),
                .taken = *rc::gen::arbitrary<bool>(),
                .result = any_text(),
                .queued_at = any_time(),
                .started_at = any_time(),
                .ended_at = any_time()};
  j.idempotency_key = any_text();
  return j;
}

void expect_same(const Job& a, const Job& b) {
  RC_ASSERT(a.id == b.id);
  RC_ASSERT(a.spec == b.spec);
  RC_ASSERT(a.state == b.state);
  RC_ASSERT(a.waiting == b.waiting);
  RC_ASSERT(a.builder == b.builder);
  RC_ASSERT(a.image_digest == b.image_digest);
  RC_ASSERT(a.result.cause == b.result.cause);
  RC_ASSERT(a.result.exit_code == b.result.exit_code);
  RC_ASSERT(a.result.signal == b.result.signal);
  RC_ASSERT(a.result.message == b.result.message);
  RC_ASSERT(a.attempt == b.attempt);
  RC_ASSERT(a.lost_on == b.lost_on);
  RC_ASSERT(a.cancel_requested == b.cancel_requested);
  RC_ASSERT(a.queued_at == b.queued_at);
  RC_ASSERT(a.assigned_at == b.assigned_at);
  RC_ASSERT(a.started_at == b.started_at);
  RC_ASSERT(a.ended_at == b.ended_at);
  RC_ASSERT(a.log_bytes == b.log_bytes);
  RC_ASSERT(a.log_truncated == b.log_truncated);
  RC_ASSERT(a.ci == b.ci);
  RC_ASSERT(a.external == b.external);
  RC_ASSERT(a.idempotency_key == b.idempotency_key);
}

TEST(Rows, AJobComesBackAsItWasWritten) {
  EXPECT_TRUE(rc::check([] {
    Job job = any_job();
    auto back = job_from_body(job_body(job));
    RC_ASSERT(back.has_value());
    expect_same(job, *back);
  }));
}

TEST(Rows, AJobComesBackAsItWasCommitted) {
  Scratch scratch;
  auto store = open_store(scratch.database());
  EXPECT_TRUE(rc::check([&] {
    Job job = any_job();
    job.idempotency_key += fmt::format("-{}", job.id);
    RC_ASSERT(store->commit({.jobs = {job}}).has_value());
    auto back = store->job(job.id);
    RC_ASSERT(back.has_value());
    RC_ASSERT(back->has_value());
    expect_same(job, **back);
    RC_ASSERT(*store->job_with_key(job.idempotency_key) == std::optional(job.id));
  }));
}

TEST(Rows, ABuilderComesBackAsItWasWritten) {
  EXPECT_TRUE(rc::check([] {
    Builder b{.id = any_text(),
              .pool = any_text(),
              .platform = any_text(),
              .image = any_text(),
              .image_digest = any_text(),
              .image_version = any_text(),
              .state = any_of<BuilderState>(7),
              .job = *rc::gen::inRange<JobId>(0, 1ULL << 62),
              .cause = any_text(),
              .warm = *rc::gen::arbitrary<bool>(),
              .requested_at = any_time(),
              .ready_at = any_time(),
              .stopping_at = any_time(),
              .gone_at = any_time()};
    auto back = builder_from_body(builder_body(b));
    RC_ASSERT(back.has_value());
    RC_ASSERT(std::tie(b.id, b.pool, b.platform, b.image, b.image_digest, b.image_version, b.state, b.job, b.cause,
                       b.warm, b.requested_at, b.ready_at, b.stopping_at,
                       b.gone_at) == std::tie(back->id, back->pool, back->platform, back->image, back->image_digest,
                                              back->image_version, back->state, back->job, back->cause, back->warm,
                                              back->requested_at, back->ready_at, back->stopping_at, back->gone_at));
  }));
}

TEST(BuilderNumbers, AreReadFromTheEndOfAnId) {
  EXPECT_EQ(builder_number("general-17"), 17U);
  EXPECT_EQ(builder_number("my-pool-2-9"), 9U);
  EXPECT_EQ(builder_number("general"), 0U);
  EXPECT_EQ(builder_number("general-"), 0U);
  EXPECT_EQ(builder_number("general-1x"), 0U);
  EXPECT_EQ(builder_number("general-99999999999999999999"), 0U);
}

TEST(SqliteStore, IsNobodyElsesToRead) {
  Scratch scratch;
  auto store = open_store(scratch.database());
  ASSERT_TRUE(store->commit({.jobs = {contract::make_job(1)}}));
  for (const char* suffix : {"", "-wal", "-shm"}) {
    struct stat s{};
    ASSERT_EQ(stat((scratch.database() + suffix).c_str(), &s), 0) << suffix;
    EXPECT_EQ(s.st_mode & 0777, 0600U) << suffix;
  }
}

TEST(SqliteStore, RefusesANewerDatabase) {
  Scratch scratch;
  open_store(scratch.database());
  raw_sql(scratch.database(), "INSERT INTO schema_version VALUES (99, 'from the future', 0);");
  auto refused = SqliteStore::open(scratch.database());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::unsupported);
  EXPECT_NE(refused.error().text().find("version 99"), std::string::npos) << refused.error().text();
}

TEST(SqliteStore, RefusesAnotherProgramsDatabaseUntouched) {
  Scratch scratch;
  auto other = sqlite::Database::open(scratch.database(), {.application_id = 0});
  ASSERT_TRUE(other && (*other)->execute("CREATE TABLE theirs (x)"));
  auto refused = SqliteStore::open(scratch.database());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  EXPECT_EQ(*(*other)->integer("SELECT count(*) FROM sqlite_master"), 1);
}

TEST(SqliteStore, ADirectoryThatIsNotThereIsNamed) {
  auto refused = SqliteStore::open("/nonexistent/mayfly.db");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_found);
  EXPECT_NE(refused.error().text().find("/nonexistent/mayfly.db"), std::string::npos);
}

TEST(Migrations, AreAppliedOnceInOrderAndAFailedOneLeavesNothing) {
  Scratch scratch;
  auto database = *sqlite::Database::open(scratch.database(), {.application_id = 1});
  constexpr Migration one{1, "one", "CREATE TABLE a (x); INSERT INTO a VALUES (1);"};
  constexpr Migration two{2, "two", "ALTER TABLE a ADD COLUMN y; UPDATE a SET y = x + 1;"};
  constexpr Migration bad{3, "bad", "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1);"};
  ASSERT_TRUE(migrate(*database, std::array{one}));
  ASSERT_TRUE(migrate(*database, std::array{one, two}));
  ASSERT_TRUE(migrate(*database, std::array{one, two}));
  EXPECT_EQ(*database->integer("SELECT y FROM a"), 2);
  auto failed = migrate(*database, std::array{one, two, bad});
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().text().find("step 3 (bad)"), std::string::npos) << failed.error().text();
  EXPECT_FALSE(database->in_transaction());
  EXPECT_EQ(*database->integer("SELECT count(*) FROM sqlite_master WHERE name = 'b'"), 0);
  EXPECT_EQ(*database->integer("SELECT max(number) FROM schema_version"), 2);
}

TEST(Migrations, AreNumberedWithoutGaps) {
  int expected = 1;
  for (const auto& step : migrations()) EXPECT_EQ(step.number, expected++);
}

}  // namespace
}  // namespace mayfly
