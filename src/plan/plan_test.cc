#include "plan/plan.h"

#include <algorithm>
#include <map>
#include <set>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace mayfly::plan {
namespace {

const Time t0 = from_micros(1'800'000'000'000'000);

// A world that a test fills in, and that looks after the pointers.
struct World {
  PoolSpec pool;
  std::vector<Job> jobs;
  std::vector<Builder> builders;
  VersionView version;
  std::string shape;
  std::map<std::string, std::uint64_t> served;  // by submitter
  PlatformView platform{.name = "local",
                        .available = true,
                        .disk_full = false,
                        .problem = {},
                        .parallel_launches = 4,
                        .budget = {},
                        .quarantine = {}};
  bool shutting_down = false;
  Patience patience{.refill = Duration(0)};

  World() {
    pool.name = "p", pool.image = "img";
    pool.network = Network::none;
    version.image.ready = true;
  }

  Job& job(JobState state = JobState::queued, std::string who = "ann", int priority = 0) {
    Job j;
    j.id = jobs.size() + 1;
    j.spec.pool = "p";
    j.spec.submitter = std::move(who);
    j.spec.priority = priority;
    j.state = state;
    j.assigned_at = t0;
    return jobs.emplace_back(j);
  }
  Builder& builder(BuilderState state, JobId job = 0) {
    Builder b;
    b.id = "p-" + std::to_string(builders.size() + 1);
    b.pool = "p";
    b.platform = "local";
    b.image = "img";
    b.state = state;
    b.job = job;
    b.requested_at = t0;
    return builders.emplace_back(b);
  }
  Plan plan(Time now = t0) {
    Seen seen;
    auto& view = seen.pools.emplace_back();
    view.name = pool.name;
    view.spec = &pool;
    view.numbers = Schedule(pool).at(now);
    view.platform = 0;
    view.shape = shape;
    view.versions = {version};
    seen.platforms.push_back(platform);
    seen.shutting_down = shutting_down;
    seen.demands = {{{0}, {}}};
    std::map<std::string, Index> lines;
    for (const auto& j : jobs) {
      auto line = lines.try_emplace(j.spec.submitter, static_cast<Index>(lines.size())).first->second;
      Index settled = j.state == JobState::queued ? nowhere : 0;
      seen.jobs.push_back({j.id, &j, 0, line, settled, j.started_at != Time{} ? j.started_at : j.assigned_at});
    }
    seen.lines.resize(lines.size());
    for (const auto& [who, line] : lines) seen.lines[line].served = served[who];
    for (const auto& b : builders) seen.builders.push_back({builder_number(b.id), &b, 0, 0, b.requested_at});
    return plan::plan(seen, now, patience);
  }
};

template <class A>
std::vector<A> all(const Plan& p) {
  std::vector<A> out;
  for (const auto& a : p.actions)
    if (auto* x = std::get_if<A>(&a)) out.push_back(*x);
  return out;
}

// What each waiting job waits for.
std::map<JobId, Reason> reasons(const Plan& p) {
  std::map<JobId, Reason> out;
  for (const auto& w : p.waits) out.emplace(w.job, p.reason(w));
  return out;
}

// The world after the plan was carried out and every launch went well.
void carry_out(World& w, const Plan& p) {
  for (const auto& a : all<AssignJob>(p)) {
    for (auto& j : w.jobs)
      if (j.id == a.job) j.state = JobState::assigned;
    for (auto& b : w.builders)
      if (b.id == a.builder) b.state = BuilderState::busy, b.job = a.job;
  }
  for (const auto& a : all<StopBuilder>(p))
    for (auto& b : w.builders)
      if (b.id == a.builder) b.state = BuilderState::stopping;
  for (std::size_t i = 0; i < all<StartBuilder>(p).size(); ++i) w.builder(BuilderState::requested);
}

TEST(Plan, AJobGetsTheReadyBuilder) {
  World w;
  w.job();
  w.builder(BuilderState::ready);
  auto p = w.plan();
  ASSERT_EQ(all<AssignJob>(p).size(), 1u);
  EXPECT_EQ(all<AssignJob>(p)[0].builder, "p-1");
  EXPECT_TRUE(all<StartBuilder>(p).empty());
}

TEST(Plan, StartsOnePerWaitingJobWithinTheLaunchLimit) {
  World w;
  for (int i = 0; i < 6; ++i) w.job();
  auto p = w.plan();
  EXPECT_EQ(all<StartBuilder>(p).size(), 4u);
  EXPECT_EQ(reasons(p).at(1).code, ReasonCode::builder_starting);
  EXPECT_EQ(reasons(p).at(5).code, ReasonCode::launch_limit);
}

TEST(Plan, SaysWhenThePoolIsFull) {
  World w;
  w.pool.max = 1;
  w.job(JobState::running);
  w.builder(BuilderState::busy, 1);
  w.job();
  auto p = w.plan();
  EXPECT_TRUE(all<StartBuilder>(p).empty());
  EXPECT_EQ(reasons(p).at(2).code, ReasonCode::pool_at_max);
  EXPECT_NE(reasons(p).at(2).text.find("1"), std::string::npos);
}

TEST(Plan, WarmBuildersAreReplacedAsTheyAreTaken) {
  World w;
  w.pool.warm = 2;
  EXPECT_EQ(all<StartBuilder>(w.plan()).size(), 2u);
  w.builder(BuilderState::ready);
  w.builder(BuilderState::ready);
  EXPECT_TRUE(w.plan().actions.empty());
  w.job();
  auto p = w.plan();
  EXPECT_EQ(all<AssignJob>(p).size(), 1u);
  EXPECT_EQ(all<StartBuilder>(p).size(), 1u);
}

TEST(Plan, AWarmBuilderIsReplacedOnceItsJobRuns) {
  World w;
  w.pool.warm = 1;
  w.patience.refill = milliseconds(20);
  w.job();
  w.builder(BuilderState::ready);
  auto p = w.plan();
  EXPECT_EQ(all<AssignJob>(p).size(), 1u);
  EXPECT_TRUE(all<StartBuilder>(p).empty());
  EXPECT_EQ(p.wake, t0 + milliseconds(20));
  carry_out(w, p);
  EXPECT_TRUE(all<StartBuilder>(w.plan(t0 + milliseconds(19))).empty());
  w.job();  // what waits is served at once all the same
  EXPECT_EQ(all<StartBuilder>(w.plan(t0 + milliseconds(19))).size(), 1u);
  w.jobs.pop_back();
  EXPECT_EQ(all<StartBuilder>(w.plan(t0 + milliseconds(20))).size(), 1u);
  w.jobs[0].state = JobState::running;
  EXPECT_EQ(all<StartBuilder>(w.plan(t0 + milliseconds(2))).size(), 1u);
}

TEST(Plan, MinCountsBusyBuildersToo) {
  World w;
  w.pool.min = 3;
  w.job(JobState::running).started_at = t0;
  w.builder(BuilderState::busy, 1);
  EXPECT_EQ(all<StartBuilder>(w.plan()).size(), 2u);
}

TEST(Plan, TheScheduleOpensAndClosesThePool) {
  World w;
  w.pool.max = 5;
  ScheduleEntry closed, open;
  closed.cron = "0 * * * *";
  closed.max = 0;
  open.cron = "30 * * * *";
  open.warm = 2;
  open.max = 5;
  w.pool.schedule = {closed, open};
  w.job();
  // t0 is 08:00 UTC.
  auto shut = w.plan(t0 + seconds(60));
  EXPECT_TRUE(shut.actions.empty());
  EXPECT_EQ(reasons(shut).at(1).code, ReasonCode::pool_at_max);
  EXPECT_EQ(reasons(shut).at(1).until, t0 + std::chrono::minutes(30));
  EXPECT_EQ(shut.wake, t0 + std::chrono::minutes(30));
  EXPECT_EQ(all<StartBuilder>(w.plan(t0 + std::chrono::minutes(30))).size(), 3u);  // one for the job, two warm
}

TEST(Plan, TheRefreshReplacesIdleBuildersAndTouchesNoBusyOne) {
  World w;
  w.pool.warm = 1;
  ScheduleEntry nightly;
  nightly.cron = "0 * * * *";
  nightly.refresh = true;
  w.pool.schedule = {nightly};
  w.builder(BuilderState::ready).requested_at = t0 - seconds(10);
  w.job(JobState::running).started_at = t0;
  w.builder(BuilderState::busy, 1).requested_at = t0 - seconds(10);
  auto p = w.plan(t0 + seconds(1));
  ASSERT_EQ(all<StopBuilder>(p).size(), 1u);
  EXPECT_EQ(all<StopBuilder>(p)[0].builder, "p-1");
  EXPECT_EQ(all<StartBuilder>(p).size(), 1u);
}

TEST(Plan, APermanentImageProblemEndsTheWaitingJobs) {
  World w;
  w.job();
  w.version.image = {.ready = false,
                     .in_progress = false,
                     .problem = "no such image",
                     .permanent = true,
                     .retry_at = t0 + seconds(10)};
  auto p = w.plan();
  ASSERT_EQ(all<FailJob>(p).size(), 1u);
  EXPECT_EQ(all<FailJob>(p)[0].result.cause, JobCause::image_unavailable);
}

TEST(Plan, APassingImageProblemIsWaitedFor) {
  World w;
  w.job();
  w.version.image = {.ready = false,
                     .in_progress = false,
                     .problem = "registry down",
                     .permanent = false,
                     .retry_at = t0 + seconds(10)};
  auto p = w.plan();
  EXPECT_TRUE(p.actions.empty());
  EXPECT_EQ(reasons(p).at(1).code, ReasonCode::image_unavailable);
  EXPECT_EQ(p.wake, t0 + seconds(10));
  EXPECT_EQ(all<PrepareImage>(w.plan(t0 + seconds(10))).size(), 1u);
}

TEST(Plan, AFullDiskIsTheReason) {
  World w;
  w.job();
  w.platform.available = false;
  w.platform.disk_full = true;
  w.platform.problem = "3 MiB left";
  EXPECT_EQ(reasons(w.plan()).at(1).code, ReasonCode::disk_full);
}

TEST(Plan, AStuckStartIsGivenUp) {
  World w;
  w.job();
  w.builder(BuilderState::starting);
  EXPECT_TRUE(all<StopBuilder>(w.plan(t0 + seconds(119))).empty());
  EXPECT_EQ(all<StopBuilder>(w.plan(t0 + seconds(120))).size(), 1u);
}

TEST(Plan, ShuttingDownStopsIdleBuildersOnly) {
  World w;
  w.shutting_down = true;
  w.pool.warm = 2;
  w.builder(BuilderState::ready);
  w.job(JobState::running);
  w.builder(BuilderState::busy, 1);
  w.job();
  auto p = w.plan();
  ASSERT_EQ(all<StopBuilder>(p).size(), 1u);
  EXPECT_EQ(all<StopBuilder>(p)[0].builder, "p-1");
  EXPECT_TRUE(all<StartBuilder>(p).empty());
  EXPECT_EQ(reasons(p).at(2).code, ReasonCode::shutting_down);
}

TEST(Plan, AJobPastEveryLimitIsEndedFromOutside) {
  World w;
  w.pool.limits.timeout = seconds(1);  // lowered since the job was handed over
  auto& job = w.job(JobState::running);
  job.started_at = t0;
  job.timeout = seconds(60);
  job.grace = seconds(5);
  w.builder(BuilderState::busy, 1);
  EXPECT_TRUE(all<CancelOverdue>(w.plan(t0 + seconds(94))).empty());
  EXPECT_EQ(all<CancelOverdue>(w.plan(t0 + seconds(95))).size(), 1u);
}

TEST(Plan, IdleBuildersOfAnotherShapeAreReplacedAndBusyOnesLeft) {
  World w;
  w.pool.warm = 1;
  w.shape = "new";
  w.builder(BuilderState::ready).shape = "old";
  w.builder(BuilderState::busy, 1).shape = "old";
  w.job(JobState::running);
  auto stops = all<StopBuilder>(w.plan());
  ASSERT_EQ(stops.size(), 1u);
  EXPECT_EQ(stops[0].builder, w.builders[0].id);
  EXPECT_EQ(all<StartBuilder>(w.plan()).size(), 1u);
}

std::vector<JobId> served(World& w) {
  std::vector<JobId> order;
  for (const auto& wait : w.plan().waits) order.push_back(wait.job);
  return order;
}

TEST(FairOrder, SubmittersTakeTurnsWithinAPriority) {
  World w;
  w.pool.max = 0;
  for (int i = 0; i < 3; ++i) w.job(JobState::queued, "ann");
  w.job(JobState::queued, "bob");
  w.job(JobState::queued, "eve", 5);
  EXPECT_EQ(served(w), (std::vector<JobId>{5, 1, 4, 2, 3}));
  for (int i = 0; i < 2; ++i) w.job(JobState::running, "ann").started_at = t0;
  EXPECT_EQ(served(w), (std::vector<JobId>{5, 4, 1, 2, 3}));
}

TEST(FairOrder, OfEqualSubmittersTheOneServedLongestAgoIsNext) {
  World w;
  w.pool.max = 0;
  w.job(JobState::queued, "ann");
  w.job(JobState::queued, "bob");
  w.served = {{"ann", 7}, {"bob", 6}};
  EXPECT_EQ(served(w), (std::vector<JobId>{2, 1}));
}

World any_world() {
  World w;
  w.pool.warm = *rc::gen::inRange(0, 5);
  w.pool.max = w.pool.warm + *rc::gen::inRange(1, 20);
  w.platform.parallel_launches = *rc::gen::inRange(1, 6);
  int exist = *rc::gen::inRange(0, w.pool.max + 1);
  for (int i = 0; i < exist; ++i) {
    auto state = *rc::gen::element(BuilderState::requested, BuilderState::starting, BuilderState::ready,
                                   BuilderState::busy, BuilderState::stopping);
    if (state == BuilderState::busy) {
      w.job(JobState::running);
      w.builder(state, w.jobs.size());
    } else {
      w.builder(state);
    }
  }
  int queued = *rc::gen::inRange(0, 30);
  for (int i = 0; i < queued; ++i)
    w.job(JobState::queued, *rc::gen::element<std::string>("ann", "bob", "eve"), *rc::gen::inRange(0, 3));
  return w;
}

int alive(const World& w) { return static_cast<int>(w.builders.size()); }

RC_GTEST_PROP(PlanProperties, NeverAboveMaxNorTheLaunchLimit, ()) {
  auto w = any_world();
  int launching = static_cast<int>(
      std::count_if(w.builders.begin(), w.builders.end(), [](auto& b) { return b.state == BuilderState::requested; }));
  auto starts = static_cast<int>(all<StartBuilder>(w.plan()).size());
  RC_ASSERT(alive(w) + starts <= w.pool.max);
  RC_ASSERT(starts == 0 || launching + starts <= w.platform.parallel_launches);
}

RC_GTEST_PROP(PlanProperties, EveryQueuedJobIsAssignedOrHasExactlyOneReason, ()) {
  auto w = any_world();
  auto p = w.plan();
  std::set<JobId> assigned;
  std::set<BuilderId> used;
  for (const auto& a : all<AssignJob>(p)) {
    RC_ASSERT(assigned.insert(a.job).second);
    RC_ASSERT(used.insert(a.builder).second);
  }
  for (const auto& j : w.jobs) {
    bool waits = reasons(p).contains(j.id);
    RC_ASSERT(waits == (j.state == JobState::queued && !assigned.contains(j.id)));
    if (waits) RC_ASSERT(!reasons(p).at(j.id).text.empty() && reasons(p).at(j.id).code != ReasonCode::none);
  }
}

RC_GTEST_PROP(PlanProperties, PlanningAgainOnThePlannedStateDoesNothing, ()) {
  auto w = any_world();
  w.platform.parallel_launches = 1000;  // the launch limit alone asks for another round
  carry_out(w, w.plan());
  auto again = w.plan();
  RC_ASSERT(again.actions.empty());
}

RC_GTEST_PROP(PlanProperties, MoreJobsNeverMeanFewerBuilders, ()) {
  auto w = any_world();
  auto before = all<StartBuilder>(w.plan()).size() + all<AssignJob>(w.plan()).size();
  w.job();
  auto after = all<StartBuilder>(w.plan()).size() + all<AssignJob>(w.plan()).size();
  RC_ASSERT(after >= before);
}

}  // namespace
}  // namespace mayfly::plan
