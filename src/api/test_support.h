#pragma once
// For tests of api/ only: a backend without a control loop behind the real server, on a state directory of its own.
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "api/service.h"
#include "net/test_support.h"

namespace mayfly::api::test {

using net::test::RawClient;

inline Job full_job() {
  Job j;
  j.id = 7;
  j.spec = {"p",   {"l"}, "n",  {"c"},   "s", {{"A", "b"}}, {"x"}, seconds(1), 3, std::string(32, 'a'),
            "out", true,  "me", {"PASS"}};
  j.state = JobState::failed;
  j.builder = "b", j.image_digest = "d", j.cancel_requested = true, j.idempotency_key = "k", j.log_truncated = true;
  j.image_version = "general@1.0.0", j.lost_on = "a";
  j.timeout = seconds(60), j.grace = seconds(1);
  j.queued_at = j.assigned_at = j.started_at = j.ended_at = from_micros(5);
  j.result = {JobCause::signalled, 1, 9, "m"};
  Time t = from_micros(5);
  j.external = {"31", "https://ci.example/31", "build", "mf-abc123-p-1", true, "failure", t, t, t};
  return j;
}

inline Builder full_builder() {
  Builder b;
  b.id = "p-1", b.pool = "p", b.job = 1, b.cause = "c", b.image_version = "g@1.0.0", b.shape = "5f";
  b.requested_at = b.ready_at = b.stopping_at = b.gone_at = from_micros(5);
  return b;
}

inline LedgerEntry some_entry() {
  LedgerEntry e;
  e.seq = 1, e.kind = "job.submitted", e.subject = "job/7", e.detail = "{}";
  return e;
}

inline ImageStatus full_image() {
  ImageVersion v;
  v.image = "general", v.number = SemVer{2, 4, 1}, v.digest = "sha256:1", v.reference = "localhost/general:1";
  v.commit = "c0ffee", v.released_by = "ann", v.approved_by = {"bob"}, v.released_at = from_micros(5);
  v.state = VersionState::withdrawn, v.withdrawn_why = "bad", v.withdrawn_at = from_micros(6);
  v.published_digest = "sha256:2", v.bytes = 7, v.swept_at = from_micros(9);
  v.builder_digest = "sha256:3", v.bases = {{"debian:12", "sha256:4"}};
  Publication p{"general", SemVer{2, 4, 1}, "r.example/general", PublicationState::failed, {"latest"}, "away",
                2,         from_micros(7),  from_micros(8)};
  return {"general", "/recipe", {v}, {{"latest", "2.4.1"}}, {p}, {{SemVer{2, 4, 1}, {"p"}, {7}}}, {{"p", "why"}}};
}

inline PoolExplanation full_pool_explanation() {
  PoolExplanation e;
  e.status.waits = {{{ReasonCode::pool_at_max, "t", from_micros(5), from_micros(6)}, 3}};
  e.numbers = {{"warm", 1, "0 5 * * * UTC", from_micros(5)}, {"max", 2, {}, {}}};
  e.numbers_until = from_micros(7);
  e.starts = {{"p-1", from_micros(5), seconds(1), {}}, {"p-2", from_micros(5), {}, "no room"}};
  e.builders = {full_builder()};
  return e;
}

inline ConfigPlan full_config_plan() {
  ConfigPlan p;
  p.change.id = "id", p.file = "/etc/mayfly/mayfly.yaml", p.summary = "1 pool changed";
  p.change.items = {{plan::ConfigItem::Kind::changed, "pool", "p", {{"builders.max", "1", "2"}}, {"effect"}, false}};
  p.change.stranded = {{7, "p", "why"}};
  return p;
}

inline PoolVersions full_rollout() {
  Rollout r;
  r.to = {1, 0, 1}, r.why = "w", r.by = "b";
  r.started_at = r.state_at = r.ended_at = from_micros(5);
  return {"p", "general", SemVer{1, 0, 0}, r, {SemVer{0, 9, 0}}};
}

inline ImageBuild full_build() {
  ImageBuild b;
  b.id = 7, b.image = "general", b.ref = "main", b.by = "ann", b.commit = "c", b.message = "m", b.content = "h";
  b.problem = "p", b.builder_digest = "d", b.digest = "d", b.reference = "r", b.fingerprint = "f", b.version = "1.0.0";
  b.build_job = b.try_job = b.same_as = 1, b.authors = {"Ann <ann@a>"}, b.bases = {{"base", "sha256:1"}};
  b.registry_bases = {{"debian:12", "sha256:2"}}, b.reason = "r";
  b.findings = {{true, "user", "w"}}, b.approvals = {{"bob", "d", from_micros(5)}};
  b.queued_at = b.started_at = b.ended_at = from_micros(5);
  b.report = "released";
  b.commit_status = "released";
  return b;
}

class FakeBackend final : public Backend {
 public:
  void submit(JobRequest request, Done<Job> done) override {
    if (refusal) return done(Unexpected(*refusal));
    std::unique_lock lock(mutex);
    job_ = {};
    job_.id = 1, job_.spec = std::move(request.spec), job_.idempotency_key = std::move(request.idempotency_key);
    job_.ci = request.ci, job_.external = request.external;
    auto job = job_;
    lock.unlock();
    done(job);
  }
  void report(JobId id, CiReport r, std::string who, Done<Job> done) override {
    reported = r, cancelled_by = who, job(id, done);
  }
  Result<int> webhook(const Webhook& w) override {
    hooked = w;
    if (w.body == "twice") return fail(ErrorCode::conflict, "it came before");
    if (w.body == "forged") return fail(ErrorCode::denied, "its signature is wrong");
    return 1;
  }
  void cancel(JobId id, std::string who, Done<Job> done) override { cancelled_by = who, job(id, done); }
  void job(JobId id, Done<Job> done) override {
    std::unique_lock lock(mutex);
    auto job = job_;
    lock.unlock();
    if (id != job.id) return done(no_job(id));
    done(job);
  }
  void jobs(JobFilter f, Done<std::vector<Job>> done) override { filter = f, done({{job_}}); }
  void builders(bool, Done<std::vector<Builder>> done) override { done(std::vector<Builder>{full_builder()}); }
  void status(Done<Status> done) override { done(Status{{}, {PoolStatus{}}, "n"}); }
  void explain(JobId, Done<Explanation> done) override { done(Explanation{job_, {some_entry()}, {job_}, 1}); }
  void release(ReleaseRequest r, std::string who, Done<ImageVersion> done) override {
    ImageVersion v;
    v.image = r.image, v.reference = r.reference, v.released_by = who, v.commit = r.commit;
    v.number = r.number.value_or(next_version(SemVer{1, 2, 3}, r.level));
    done(v);
  }
  void images(Done<std::vector<ImageStatus>> done) override { done(std::vector<ImageStatus>{full_image()}); }
  void image(std::string, Done<ImageStatus> done) override { done(full_image()); }
  void publish_image(std::string, std::string, Done<ImageStatus> done) override { done(full_image()); }
  void rollouts(Done<std::vector<PoolVersions>> done) override { done(std::vector<PoolVersions>{full_rollout()}); }
  void change_rollout(PoolName, RolloutOrder order, std::string who, Done<PoolVersions> done) override {
    auto p = full_rollout();
    p.rollout->paused = order == RolloutOrder::pause;
    p.rollout->by = who;
    done(p);
  }
  void rollback_image(std::string, std::optional<SemVer> to, std::string, Done<ImageStatus> done) override {
    auto image = full_image();
    if (to) image.versions[0].number = *to;
    done(image);
  }
  void ledger(std::uint64_t, std::size_t, std::string, Done<std::vector<LedgerEntry>> done) override {
    done(std::vector<LedgerEntry>{some_entry()});
  }
  void drain(std::string, Done<Status> done) override { done(Status{{}, {PoolStatus{}}, "n"}); }
  void explain_pool(PoolName, Done<PoolExplanation> done) override { done(full_pool_explanation()); }
  void plan_config(ConfigSource source, Done<ConfigPlan> done) override { config = source, done(full_config_plan()); }
  void apply_config(ConfigSource source, ConfigOrder order, Done<ConfigPlan> done) override {
    config = source, config_order = order, done(full_config_plan());
  }
  void build_image(BuildRequest r, Done<ImageBuild> done) override {
    auto b = full_build();
    b.image = r.image, b.ref = r.ref, b.by = r.by;
    done(b);
  }
  void image_builds(std::string, std::size_t, Done<std::vector<ImageBuild>> done) override {
    done(std::vector<ImageBuild>{full_build()});
  }
  void image_build(BuildId, Done<ImageBuild> done) override { done(full_build()); }
  void approve_build(BuildId, std::string who, Done<ImageBuild> done) override {
    auto b = full_build();
    b.approvals[0].who = who;
    done(b);
  }
  void cancel_build(BuildId, std::string, Done<ImageBuild> done) override { done(full_build()); }
  void verify_ledger(Done<LedgerCheck> done) override { done(fail(ErrorCode::internal, "entry 3 was changed")); }
  void when_ended(JobId id, Done<Job> done) override {
    std::unique_lock lock(mutex);
    auto job = job_;
    if (id == job.id && !is_final(job.state)) return waiting.push_back(std::move(done));
    lock.unlock();
    if (id != job.id) return done(no_job(id));
    done(job);
  }
  std::size_t waits() {
    std::lock_guard lock(mutex);
    return waiting.size();
  }
  // The job has ended: whoever waits is told, as control does, from a thread that is not the server's.
  void end(Job ended) {
    std::unique_lock lock(mutex);
    job_ = ended;
    auto told = std::exchange(waiting, {});
    lock.unlock();
    for (auto& done : told) done(ended);
  }
  std::optional<Error> refusal;  // of every submission
  Job job_;
  JobFilter filter;
  ConfigSource config;
  ConfigOrder config_order;
  CiReport reported;
  Webhook hooked;
  std::string cancelled_by;
  std::mutex mutex;
  std::vector<Done<Job>> waiting;

 private:
  static Result<Job> no_job(JobId id) {
    return fail(ErrorCode::not_found, "there is no job", "job " + std::to_string(id));
  }
};

class ApiTest : public ::testing::Test {
 protected:
  void start(ServerSpec spec = {}) {
    auto made = serve({{dir_.path()}, spec, "1.2", {}}, backend_, log_);
    ASSERT_TRUE(made) << made.error().text();
    server_ = std::move(*made);
  }
  net::test::Response ask(std::string_view method, const std::string& target, const std::string& body = {}) {
    return RawClient(dir_.file("mayfly.sock")).request(method, target, body);
  }
  net::test::TempDir dir_;
  Log log_{LogLevel::error};
  FakeBackend backend_;
  std::unique_ptr<net::Server> server_;
};

}  // namespace mayfly::api::test
