// What every run of the tests simulates: a fixed set of seeds, in four parts, so that a failure names its part.
#include "tests/simulation/simulation.h"

#include <gtest/gtest.h>

namespace mayfly::sim {
namespace {

class Seeds : public testing::TestWithParam<int> {};

TEST_P(Seeds, KeepEveryInvariant) {
  constexpr std::uint64_t each = 75;
  std::uint64_t first = 1 + each * static_cast<std::uint64_t>(GetParam()), kills = 0, jobs = 0;
  for (auto seed = first; seed < first + each; ++seed) {
    auto outcome = simulate({.seed = seed});
    ASSERT_TRUE(outcome.ok) << report({.seed = seed}, outcome);
    kills += outcome.kills, jobs += outcome.jobs;
  }
  EXPECT_GT(jobs, each * 5) << "the worlds are too quiet to show anything";
  EXPECT_GT(kills, each / 2);
}
INSTANTIATE_TEST_SUITE_P(Fixed, Seeds, testing::Range(0, 4));

TEST(Simulation, IsTheSameForTheSameSeed) {
  for (std::uint64_t seed : {3, 32, 77}) {  // 32: on SQLite
    auto once = simulate({.seed = seed}), again = simulate({.seed = seed});
    EXPECT_EQ(once.hash, again.hash) << seed;
    EXPECT_EQ(once.events, again.events);
  }
  EXPECT_NE(simulate({.seed = 3}).hash, simulate({.seed = 4}).hash);
}

// Faults around control; those inside it are found by `make mutants`.
TEST(Simulation, FindsEveryFaultOfThePorts) {
  for (const auto& [mutation, name] : mutations) {
    bool found = false;
    for (std::uint64_t seed = 1; seed <= 200 && !found; ++seed)
      found = !simulate({.seed = seed, .mutation = mutation}).ok;
    EXPECT_TRUE(found) << name;
  }
}

}  // namespace
}  // namespace mayfly::sim
