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

}  // namespace
}  // namespace mayfly::simulate
