#include "simulate/simulation.h"

#include <gtest/gtest.h>

namespace mayfly::simulate {
namespace {

Config config(int warm, int max, double price = 0) {
  Config c;
  PoolSpec p;
  p.name = "p", p.image = "img", p.warm = warm, p.max = max, p.price = price;
  c.pools["p"] = p;
  return c;
}

Outcome run(const Config& c, const Workload& w, Settings s = {}) {
  auto o = simulate(c, w, s);
  EXPECT_TRUE(o) << (o ? "" : o.error().text());
  return o.value_or(Outcome());
}

TEST(Simulation, OneBuilderServesThreeJobsOneAfterAnother) {
  auto o = run(config(0, 1), uniform_workload(3, seconds(10), {}, "p"), {.start = seconds(1)});
  EXPECT_EQ(o.waits, (std::vector<Duration>{seconds(1), seconds(12), seconds(23)}));
  EXPECT_EQ(o.span(), seconds(33));
  EXPECT_EQ(o.most_builders, 1);
  EXPECT_EQ(o.most_queued, 3);
  EXPECT_EQ(o.pools.at(0).builders, 3u);
}

TEST(Simulation, WarmBuildersAreThereBeforeTheFirstJob) {
  auto o = run(config(2, 2), uniform_workload(3, seconds(10), {}, "p"), {.start = seconds(1)});
  EXPECT_EQ(o.waits, (std::vector<Duration>{Duration(), Duration(), seconds(11)}));
}

TEST(Simulation, NeverMoreBuildersThanMax) {
  for (int max : {1, 3, 7}) {
    auto o = run(config(0, max), uniform_workload(50, seconds(30), std::chrono::minutes(2), "p"));
    EXPECT_EQ(o.most_builders, max);
    EXPECT_EQ(o.waits.size(), 50u);
  }
}

TEST(Simulation, StartsAsManyAtOnceAsThePlatformDoes) {
  auto o = run(config(0, 100), uniform_workload(4, seconds(10), {}, "p"), {.start = seconds(1), .launches = 2});
  EXPECT_EQ(o.waits, (std::vector<Duration>{seconds(1), seconds(1), seconds(2), seconds(2)}));
  EXPECT_GT(o.waited.at(ReasonCode::launch_limit), Duration());
}

TEST(Simulation, CostIsTheTimeThatBuildersExist) {
  // Two builders, each 10 s of starting and 3590 s of work: two hours.
  auto o = run(config(0, 2, 1.5), uniform_workload(2, seconds(3590), {}, "p"), {.start = seconds(10)});
  EXPECT_EQ(o.builder_time(), std::chrono::hours(2));
  EXPECT_DOUBLE_EQ(o.cost(), 3.0);
  // A warm one more, that nobody needs, costs as long as all takes.
  o = run(config(1, 2, 1.5), uniform_workload(1, seconds(3600), {}, "p"), {.start = seconds(0)});
  EXPECT_EQ(o.builder_time(), std::chrono::hours(2));
}

TEST(Simulation, SaysWhatJobsWaitedFor) {
  auto o = run(config(0, 1), uniform_workload(2, seconds(10), {}, "p"), {.start = seconds(1)});
  // The first starts for 1 s; the second waits 11 s for the only builder to be gone, and 1 s for its own.
  EXPECT_EQ(o.waited.at(ReasonCode::builder_starting), seconds(2));
  EXPECT_EQ(o.waited.at(ReasonCode::pool_at_max), seconds(11));
}

TEST(Simulation, AJobLongerThanItsPoolAllowsIsStopped) {
  auto o = run(config(0, 1), uniform_workload(1, std::chrono::hours(5), {}, "p"), {.start = seconds(0)});
  EXPECT_EQ(o.timed_out, 1u);
  EXPECT_EQ(o.span(), std::chrono::hours(1));
}

TEST(Simulation, SubmittersTakeTurns) {
  Workload w;
  auto p = w.pool("p"), a = w.submitter("a"), b = w.submitter("b");
  for (int i = 0; i < 100; ++i) w.jobs.push_back({trace_epoch(), seconds(10), p, a, 0});
  w.jobs.push_back({trace_epoch() + seconds(1), seconds(10), p, b, 0});
  auto o = run(config(0, 2), w, {.start = seconds(0)});
  // b's one job runs beside a's third, not after a's other 98.
  EXPECT_EQ((std::vector(o.waits.begin(), o.waits.begin() + 5)),
            (std::vector<Duration>{Duration(), Duration(), seconds(9), seconds(10), seconds(20)}));
}

TEST(Simulation, ABacklogOfAnyLengthIsServed) {
  auto o = run(config(0, 3), uniform_workload(1000, seconds(3), {}, "p"), {.start = seconds(0), .launches = 10});
  EXPECT_EQ(o.waits.size(), 1000u);
  EXPECT_EQ(o.waits.back(), seconds(999));
  EXPECT_EQ(o.most_queued, 1000);
}

TEST(Simulation, TheGridMovesWaitsByNoMoreThanItsWidth) {
  auto w = uniform_workload(500, seconds(95), std::chrono::hours(1), "p");
  auto exact = run(config(0, 20), w), coarse = run(config(0, 20), w, {.resolution = seconds(5)});
  EXPECT_LT(coarse.steps, exact.steps);
  EXPECT_LE(std::chrono::abs(quantile(coarse.waits, 0.95) - quantile(exact.waits, 0.95)), seconds(5));
}

TEST(Simulation, APoolThatIsNotThereIsNamed) {
  auto o = simulate(config(0, 1), uniform_workload(1, seconds(1), {}, "pp"), {});
  ASSERT_FALSE(o);
  EXPECT_NE(o.error().text().find("'pp'"), std::string::npos);
}

Config two_places() {
  Config c;
  for (auto [name, max, preference] : {std::tuple("near", 2, 0), std::tuple("far", 10, 1)}) {
    PoolSpec p;
    p.name = name, p.image = "img", p.max = max, p.preference = preference, p.labels = {"Linux"};
    c.pools[name] = p;
  }
  c.pools["far"].labels.push_back("gpu");
  return c;
}

void ask(Workload& w, std::size_t jobs, std::vector<std::string> labels) {
  auto d = w.demand({{}, std::move(labels), {}, {}, "t.csv:2"});
  auto by = w.submitter("");
  for (std::size_t i = 0; i < jobs; ++i) w.jobs.push_back({trace_epoch(), seconds(10), d, by, 0});
}

std::map<PoolName, std::size_t> jobs_by_pool(const Outcome& o) {
  std::map<PoolName, std::size_t> out;
  for (const auto& p : o.pools) out[p.name] = p.waits.size();
  return out;
}

TEST(Simulation, JobsWithLabelsGoWhereThePlannerSendsThem) {
  Workload w;
  ask(w, 5, {"linux"});
  auto o = run(two_places(), w, {.start = seconds(0), .launches = 100});
  EXPECT_EQ(jobs_by_pool(o), (std::map<PoolName, std::size_t>{{"near", 2}, {"far", 3}}));
  EXPECT_EQ(o.waits.back(), Duration());

  ask(w, 8, {"gpu", "linux"});  // which only one of them has
  o = run(two_places(), w, {.start = seconds(0), .launches = 100});
  EXPECT_EQ(jobs_by_pool(o), (std::map<PoolName, std::size_t>{{"near", 2}, {"far", 11}}));
}

TEST(Simulation, ALongQueueOfLabelsIsServedByAllThatHaveThem) {
  Workload w;
  ask(w, 1200, {"linux"});
  auto o = run(two_places(), w, {.start = seconds(0), .launches = 100});
  EXPECT_EQ(jobs_by_pool(o), (std::map<PoolName, std::size_t>{{"near", 200}, {"far", 1000}}));
  EXPECT_EQ(o.waits.back(), seconds(990));
}

TEST(Simulation, LabelsThatNoPoolHasAreNamedWithTheirLine) {
  Workload w;
  ask(w, 1, {"arm"});
  auto o = simulate(two_places(), w, {});
  ASSERT_FALSE(o);
  EXPECT_NE(o.error().text().find("t.csv:2: no pool has the labels 'arm'. Pools have: Linux, gpu."), std::string::npos)
      << o.error().text();
}

TEST(Quantile, IsTheNearestRank) {
  std::vector<Duration> v;
  for (int i = 1; i <= 20; ++i) v.push_back(seconds(i));
  EXPECT_EQ(quantile(v, 0.5), seconds(10));
  EXPECT_EQ(quantile(v, 0.95), seconds(19));
  EXPECT_EQ(quantile(v, 1), seconds(20));
  EXPECT_EQ(quantile({}, 0.5), Duration());
}

TEST(Series, KeepsAreaAndMostThroughFolding) {
  Series s;
  s.add(seconds(0), seconds(100), 2);
  s.add(seconds(100), seconds(5000), 1);
  double area = 0;
  for (const auto& b : s.values()) area += b.area;
  EXPECT_NEAR(area, 200 + 4900, 1e-6);
  EXPECT_EQ(s.values().front().most, 2);
  EXPECT_LE(s.values().size(), 1024u);
}

}  // namespace
}  // namespace mayfly::simulate
