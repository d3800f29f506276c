#include "simulate/report.h"

#include <gtest/gtest.h>
#include <boost/json.hpp>

namespace mayfly::simulate {
namespace {

Config config(int warm, int max) {
  Config c;
  PoolSpec p;
  p.name = "p", p.image = "img", p.warm = warm, p.max = max, p.price = 0.5;
  c.pools["p"] = p;
  return c;
}

Target target(std::string_view text) { return parse_target(text).value(); }

Report report() {
  Workload w;
  auto p = w.pool("p");
  for (int i = 0; i < 200; ++i)
    w.jobs.push_back(
        {trace_epoch() + seconds(i * 7 % 61), seconds(5 + i * 13 % 40), p, w.submitter(i % 3 == 0 ? "a" : "b"), i % 2});
  w.sort();
  Report r;
  r.target = target("p95 wait <= 30s");
  r.cases.push_back({"a<b.yaml", simulate(config(1, 20), w, {}).value()});
  r.found = find_cheapest(config(1, 20), w, {}, *r.target).value();
  return r;
}

TEST(Report, TheSameInputGivesTheSameBytes) {
  auto a = report(), b = report();
  EXPECT_EQ(report_text(a), report_text(b));
  EXPECT_EQ(report_json(a), report_json(b));
  EXPECT_EQ(report_html(a), report_html(b));
}

TEST(Report, TextSaysWaitsCostAndReason) {
  auto text = report_text(report());
  for (auto part : {"200 jobs", "wait p95", "cost", "pool_at_max", "target p95 wait <= 30s", "max: "})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST(Report, JsonIsJsonAndThePageIsWhole) {
  auto r = report();
  auto parsed = boost::json::parse(report_json(r)).as_object();
  EXPECT_EQ(parsed.at("cases").as_array().at(0).at("jobs").as_int64(), 200);
  auto page = report_html(r);
  EXPECT_NE(page.find("a&lt;b.yaml"), std::string::npos);
  EXPECT_EQ(page.find("a<b.yaml"), std::string::npos);
  EXPECT_EQ(page.find("http"), std::string::npos) << "the page must need nothing else";
  EXPECT_EQ(page.find("nan"), std::string::npos);
}

TEST(Target, IsReadOrRefused) {
  EXPECT_DOUBLE_EQ(target("p95 wait <= 30s").share, 0.95);
  EXPECT_EQ(target("max wait<5m").limit, std::chrono::minutes(5));
  for (auto bad : {"", "p95", "p95 wait", "p95 wait >= 30s", "p0 wait <= 1s", "p101 wait <= 1s", "p95 cost <= 3s",
                   "p95 wait <= 30", "x95 wait <= 3s", "p wait <= 3s"})
    EXPECT_FALSE(parse_target(bad)) << bad;
}

// Ten jobs of 10 s at once, builders start in 1 s: k builders need ceil(10/k) rounds of 11 s, and the last round's jobs
// wait (rounds-1)*11+1 s. For at most 25 s three rounds do, and for three rounds four builders.
TEST(Find, FindsTheKnownSmallestMax) {
  auto w = uniform_workload(10, seconds(10), {}, "p");
  Settings s{.start = seconds(1), .launches = 100};
  auto found = find_cheapest(config(3, 50), w, s, target("max wait <= 25s")).value();
  EXPECT_TRUE(found.met);
  EXPECT_EQ(found.config.pools.at("p").warm, 0);
  EXPECT_EQ(found.config.pools.at("p").max, 4);
}

// Jobs that may choose: what is dear is made small first, and the cheap one's max makes up for it.
TEST(Find, MakesTheDearestOfTheirPoolsSmallFirst) {
  Config c;
  for (auto [name, price] : {std::pair("cheap", 0.1), std::pair("dear", 1.0)}) {
    PoolSpec p;
    p.name = name, p.image = "img", p.price = price, p.labels = {"linux"}, p.preference = price > 0.5 ? 1 : 0;
    c.pools[name] = p;
  }
  Workload w;
  auto d = w.demand({{}, {"linux"}, {}, {}, {}});
  auto by = w.submitter("");
  for (int i = 0; i < 10; ++i) w.jobs.push_back({trace_epoch(), seconds(10), d, by, 0});
  auto found = find_cheapest(c, w, {.start = seconds(1), .launches = 100}, target("max wait <= 25s")).value();
  EXPECT_TRUE(found.met);
  EXPECT_EQ(found.config.pools.at("dear").max, 1);
  EXPECT_EQ(found.config.pools.at("cheap").max, 3);  // four of them do it in three rounds
}

TEST(Find, TakesWarmBuildersOnlyWhereNothingElseHelps) {
  auto w = uniform_workload(3, seconds(10), {}, "p");
  Settings s{.start = seconds(60), .launches = 100};
  auto found = find_cheapest(config(0, 50), w, s, target("p50 wait <= 1s")).value();
  EXPECT_TRUE(found.met);
  EXPECT_EQ(found.config.pools.at("p").warm, 2);  // two of three jobs find one
}

}  // namespace
}  // namespace mayfly::simulate
