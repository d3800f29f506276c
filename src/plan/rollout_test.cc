#include "plan/rollout.h"

#include <random>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "plan/version_choice.h"

namespace mayfly::plan {
namespace {

const Time t0 = from_micros(1'800'000'000'000'000);
SemVer v(std::string_view text) { return SemVer::parse(text).value(); }

std::map<SemVer, ImageVersion> versions(std::vector<std::string> released, std::vector<std::string> withdrawn = {}) {
  std::map<SemVer, ImageVersion> out;
  for (const auto& n : released) out[v(n)].number = v(n);
  for (const auto& n : withdrawn) out[v(n)].state = VersionState::withdrawn;
  return out;
}

TEST(VersionChoice, IsTheHighestThatFitsAndWasNotRolledBack) {
  auto all = versions({"1.9.0", "2.0.0", "2.1.0", "3.0.0"}, {"2.2.0"});
  auto choose = [&](const char* range, std::optional<SemVer> current = {}, std::vector<SemVer> refused = {}) {
    auto c = choose_version(VersionRange::parse(range).value(), all, current, refused);
    return c.version ? c.version->text() : "none";
  };
  EXPECT_EQ(choose("latest"), "3.0.0");
  EXPECT_EQ(choose("^2"), "2.1.0");
  EXPECT_EQ(choose("^4"), "none");
  EXPECT_EQ(choose("2.2.0"), "2.2.0") << "a pin gets even what was withdrawn";
  EXPECT_EQ(choose("^2", v("2.0.0"), {v("2.1.0")}), "2.0.0");
  EXPECT_EQ(choose("^2", v("1.9.0"), {v("2.1.0"), v("2.0.0")}), "1.9.0") << "all that fit were rolled back: it stays";
  EXPECT_EQ(choose("^2", v("2.2.0")), "2.1.0");
  EXPECT_EQ(choose("^4", v("2.1.0")), "none") << "it follows something else now";
  all = versions({}, {"2.2.0"});
  EXPECT_EQ(choose("^2", v("2.2.0")), "2.2.0") << "there is nothing else to run";
  EXPECT_EQ(choose("^2"), "none");
}

TEST(VersionChoice, KnowsAReturn) {
  auto all = versions({"1.0.0"}, {"1.1.0"});
  EXPECT_TRUE(choose_version(VersionRange::latest(), all, v("1.1.0"), {}).back);
  all = versions({"1.0.0", "1.1.0"});
  EXPECT_FALSE(choose_version(VersionRange::latest(), all, v("1.0.0"), {}).back);
}

// The first is the textbook's; the next three follow from counting the ways.
TEST(Fisher, IsTheProbabilityOfAsManyOrMore) {
  EXPECT_NEAR(fisher_one_sided(3, 4, 1, 4), 0.242857, 1e-6);  // the lady tasting tea
  EXPECT_NEAR(fisher_one_sided(4, 4, 0, 4), 1.0 / 70, 1e-9);
  EXPECT_NEAR(fisher_one_sided(5, 5, 0, 5), 1.0 / 252, 1e-9);
  EXPECT_NEAR(fisher_one_sided(0, 10, 5, 10), 1, 1e-9);
  EXPECT_NEAR(fisher_one_sided(1, 1, 0, 200), 1.0 / 201, 1e-9);
  EXPECT_NEAR(fisher_one_sided(0, 0, 0, 0), 1, 1e-9);
  EXPECT_LT(fisher_one_sided(100'000, 100'000, 0, 100'000), 1e-12);
}

Rollout rollout(RolloutState state, VersionTally fresh = {}, VersionTally old = {}) {
  Rollout r;
  r.from = v("1.0.0"), r.to = v("1.1.0");
  r.state = state;
  r.started_at = r.state_at = t0;
  r.new_tally = fresh;
  r.old_tally = old;
  return r;
}

TEST(Evidence, IsNoHairTrigger) {
  RolloutRules rules;
  auto against = [&](int failed, int jobs, int old_failed, int old_jobs) {
    return !evidence_against(rollout(RolloutState::watching, {.jobs = jobs, .failed = failed},
                                     {.jobs = old_jobs, .failed = old_failed}),
                             rules)
                .empty();
  };
  EXPECT_FALSE(against(1, 1, 0, 200)) << "one failure is no evidence";
  EXPECT_FALSE(against(2, 2, 0, 200));
  EXPECT_TRUE(against(3, 3, 0, 200));
  EXPECT_FALSE(against(3, 3, 0, 2)) << "nothing is known of the old one";
  EXPECT_FALSE(against(5, 10, 100, 200)) << "it fails as often";
  EXPECT_TRUE(against(10, 10, 100, 200));
  EXPECT_FALSE(against(60, 1000, 2, 100)) << "4 % more is within the margin";
  rules.margin = 0.9;
  EXPECT_FALSE(against(8, 10, 0, 200));
}

// The test is asked again after every job, so a single look's level says little: here is how often a version that is
// as good as the old one is rolled back within a whole rollout, and how often one that fails twice as often is not.
TEST(Evidence, RarelyErrsOverAWholeRollout) {
  std::mt19937 random(7);
  auto rolled_back = [&](double old_rate, double new_rate, int jobs) {
    RolloutRules rules;
    int back = 0;
    for (int i = 0; i < 1000; ++i) {
      std::bernoulli_distribution fails(new_rate), failed(old_rate);
      auto r = rollout(RolloutState::watching);
      for (int k = 0; k < 200; ++k) ++r.old_tally.jobs, r.old_tally.failed += failed(random);
      for (int k = 0; k < jobs; ++k) {
        ++r.new_tally.jobs, r.new_tally.failed += fails(random);
        if (evidence_against(r, rules).empty()) continue;
        ++back;
        break;
      }
    }
    return back / 1000.0;
  };
  EXPECT_LT(rolled_back(0.02, 0.02, 50), 0.05);
  EXPECT_LT(rolled_back(0.2, 0.2, 50), 0.05);
  EXPECT_LT(rolled_back(0.5, 0.5, 50), 0.05);
  EXPECT_GT(rolled_back(0.02, 0.5, 50), 0.99);
  EXPECT_GT(rolled_back(0.2, 0.8, 50), 0.99);
}

TEST(Judge, WarmsThenWatchesThenPromotes) {
  RolloutRules rules;
  RolloutSight sight{.wanted = 2, .new_ready = 0, .old_ready = 2};
  EXPECT_FALSE(next_step(rollout(RolloutState::warming), rules, sight, t0).next) << "its image is not there yet";
  sight.image.ready = true;
  sight.new_ready = 1;
  EXPECT_FALSE(next_step(rollout(RolloutState::warming), rules, sight, t0).next);
  sight.new_ready = 2;
  EXPECT_EQ(next_step(rollout(RolloutState::warming), rules, sight, t0).next, RolloutState::watching);
  auto asked = rollout(RolloutState::warming);
  asked.asked = true;
  EXPECT_EQ(next_step(asked, rules, sight, t0).next, RolloutState::promoted);
  auto watching = rollout(RolloutState::watching, {.jobs = 19});
  EXPECT_FALSE(next_step(watching, rules, sight, t0 + rules.soak).next) << "no builder of it came up yet";
  watching.new_tally.ready = 1;
  EXPECT_FALSE(next_step(watching, rules, sight, t0).next);
  EXPECT_EQ(next_step(watching, rules, sight, t0).wake, t0 + rules.soak);
  EXPECT_EQ(next_step(watching, rules, sight, t0 + rules.soak).next, RolloutState::promoted);
  watching.new_tally.jobs = 20;
  EXPECT_EQ(next_step(watching, rules, sight, t0).next, RolloutState::promoted);
  watching.paused = true;
  EXPECT_FALSE(next_step(watching, rules, sight, t0 + 2 * rules.soak).next);
  watching.new_tally.failed = 20;
  watching.old_tally.jobs = 100;
  EXPECT_EQ(next_step(watching, rules, sight, t0).next, RolloutState::rolled_back) << "paused or not";
}

TEST(Judge, RollsBackWhatCannotBeStarted) {
  RolloutRules rules;
  for (auto state : {RolloutState::canary, RolloutState::warming, RolloutState::watching}) {
    RolloutSight sight;
    sight.image.problem = "no such image";
    sight.image.permanent = true;
    EXPECT_EQ(next_step(rollout(state), rules, sight, t0).next, RolloutState::rolled_back);
    sight.image = {};
    sight.image.ready = true;
    EXPECT_EQ(next_step(rollout(state, {.failed_starts = rollback_starts}), rules, sight, t0).next,
              RolloutState::rolled_back);
    EXPECT_NE(next_step(rollout(state, {.failed_starts = rollback_starts - 1}), rules, sight, t0).next,
              RolloutState::rolled_back);
  }
}

RC_GTEST_PROP(Canary, KeepsToItsShareWithinOneLaunch, ()) {
  RolloutRules rules;
  rules.canary = *rc::gen::inRange(1, 101) / 100.0;
  auto r = rollout(RolloutState::canary);
  int launches = *rc::gen::inRange(1, 300);
  for (int i = 0; i < launches; ++i) ++(canary_turn(r, rules, 0, 0) ? r.new_tally : r.old_tally).launched;
  RC_ASSERT(std::abs(r.new_tally.launched - rules.canary * launches) <= 1.0);
}

// Whatever happens to its jobs and builders: a rollout that nobody pauses is over within its soaks, once its builders
// can be started or turn out not to be startable.
RC_GTEST_PROP(Judge, ARolloutAlwaysEnds, ()) {
  RolloutRules rules;
  rules.canary = *rc::gen::element(0.0, 0.1, 1.0);
  rules.min_jobs = *rc::gen::inRange(1, 50);
  auto r = rollout(first_state(rules, false));
  r.asked = *rc::gen::arbitrary<bool>();
  if (r.asked) r.state = first_state(rules, true);
  RolloutSight sight{.wanted = *rc::gen::inRange(0, 5)};
  Time now = t0;
  int moves = 0;
  for (int i = 0; i < 200 && !is_over(r.state); ++i) {
    now += rules.soak / 10;
    switch (*rc::gen::inRange(0, 4)) {
      case 0:
        ++r.new_tally.jobs, r.new_tally.failed += *rc::gen::inRange(0, 2);
        break;
      case 1:
        ++r.old_tally.jobs, r.old_tally.failed += *rc::gen::inRange(0, 2);
        break;
      case 2:
        sight.image.ready = true;
        break;
      default:
        sight.new_ready = std::min(sight.wanted, sight.new_ready + 1);
        ++r.new_tally.ready;
    }
    if (i > 150) sight.image.ready = true, sight.new_ready = sight.wanted, ++r.new_tally.ready;
    auto step = next_step(r, rules, sight, now);
    if (!step.next) continue;
    RC_ASSERT(*step.next > r.state);
    RC_ASSERT(!step.why.empty());
    r.state = *step.next, r.state_at = now;
    ++moves;
  }
  RC_ASSERT(is_over(r.state));
  RC_ASSERT(moves <= 3);
}

}  // namespace
}  // namespace mayfly::plan
