#include "plan/ci_match.h"

#include <set>

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace mayfly::plan {
namespace {

TEST(CiMatch, WhatWaitsAndIsNobodysNeedsAJob) {
  auto m = match_ci({.pending = {"a", "b"}}, {{1, "a"}});
  EXPECT_EQ(m.create, std::vector<std::string>{"b"});
  EXPECT_TRUE(m.surplus.empty());
}

TEST(CiMatch, AJobWhoseOwnWasTakenByAnotherRunnerServesOneThatHasNone) {
  auto m = match_ci({.pending = {"b"}, .over = {"a"}}, {{1, "a"}});
  EXPECT_TRUE(m.create.empty());
  EXPECT_EQ(m.renamed, (std::vector<std::pair<JobId, std::string>>{{1, "b"}}));
}

TEST(CiMatch, WhatVanishedIsSurplusOnlyIfTheWholeQueueWasSeen) {
  EXPECT_EQ(match_ci({.pending = {}}, {{1, "a"}}).surplus, std::vector<JobId>{1});
  EXPECT_TRUE(match_ci({.pending = {}, .whole = false}, {{1, "a"}}).surplus.empty());
  EXPECT_EQ(match_ci({.pending = {}, .over = {"a"}, .whole = false}, {{1, "a"}}).surplus, std::vector<JobId>{1});
}

TEST(CiMatch, WhatCameByWebhookAfterTheQuestionIsNotMissedInItsAnswer) {
  CiQueue queue{.pending = {}, .asked_at = from_micros(10)};
  EXPECT_TRUE(match_ci(queue, {{1, "a", from_micros(11)}}).surplus.empty());
  EXPECT_EQ(match_ci(queue, {{1, "a", from_micros(10)}}).surplus, std::vector<JobId>{1});
}

TEST(CiMatch, SaidTwiceIsOneJob) {
  auto m = match_ci({.pending = {"a", "a"}}, {});
  EXPECT_EQ(m.create, std::vector<std::string>{"a"});
}

// However the two lists look: each pending job is somebody's afterwards, nobody's twice, and none of ours is idle while
// one waits.
TEST(CiMatch, EveryPendingJobIsServedByExactlyOne) {
  EXPECT_TRUE(rc::check([] {
    auto name = rc::gen::map(rc::gen::inRange(0, 12), [](int i) { return std::to_string(i); });
    CiQueue queue;
    queue.pending = *rc::gen::container<std::vector<std::string>>(name);
    queue.over = *rc::gen::container<std::vector<std::string>>(name);
    queue.whole = *rc::gen::arbitrary<bool>();
    std::set<std::string> pending(queue.pending.begin(), queue.pending.end());
    std::erase_if(queue.over, [&](const auto& id) { return pending.contains(id); });
    std::vector<CiHeld> held;
    for (const auto& id : *rc::gen::container<std::vector<std::string>>(name)) held.push_back({held.size() + 1, id});
    auto m = match_ci(queue, held);
    std::map<JobId, std::string> names;
    for (const auto& h : held) names[h.job] = h.id;
    for (const auto& [job, id] : m.renamed) names[job] = id;
    for (auto job : m.surplus) names.erase(job);
    std::multiset<std::string> served(m.create.begin(), m.create.end());
    for (const auto& [job, id] : names)
      if (pending.contains(id)) served.insert(id);
    for (const auto& id : pending) RC_ASSERT(served.count(id) == 1);
    RC_ASSERT(m.create.empty() || m.surplus.empty());
  }));
}

}  // namespace
}  // namespace mayfly::plan
