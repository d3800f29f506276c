#pragma once
// How a pool moves from one version to another. Pure: the planner asks with what it sees, control records the answer.
#include <optional>
#include <string>

#include "model/rollout.h"
#include "plan/plan.h"

namespace mayfly::plan {

// A version is rolled back for its jobs' failures when all three hold: this many failed on it; its failure rate
// exceeds the old one's by more than the pool's margin; and the probability that as many or more of these failures
// fall on it by chance alone, if the two were alike (Fisher's exact test, one-sided), is at most the level.
inline constexpr int rollback_failures = 3;
inline constexpr double rollback_level = 0.01;
// … and for its builders' failed starts after this many in a row.
inline constexpr int rollback_starts = 3;

// The probability of `failed` or more failures among the `jobs` of one side, given both sides' totals.
double fisher_one_sided(int failed, int jobs, int other_failed, int other_jobs);

// Why the new version is worse than the old one; empty: nothing says so.
std::string evidence_against(const Rollout& rollout, const RolloutRules& rules);

// The state that a rollout begins in.
RolloutState first_state(const RolloutRules& rules, bool asked);

// What a rollout's pool looks like.
struct RolloutSight {
  int wanted = 0;  // builders that the pool keeps without a job
  int new_ready = 0, old_ready = 0, old_coming = 0;
  bool room = true;      // on its platform, for one more builder
  ImageView image = {};  // of the new version
  StartsView starts = {};
  int failed_images = 5;  // tries before the new version counts as not to be had
};

struct RolloutStep {
  std::optional<RolloutState> next;  // none: it stays
  std::string why;                   // of the step, or why it stays
  std::optional<Time> wake;          // ask again by then
};
RolloutStep next_step(const Rollout& rollout, const RolloutRules& rules, const RolloutSight& sight, Time now);

// Whether the next launch gets the new version, in a canary: then its share of all launches stays at the rule's.
bool canary_turn(const Rollout& rollout, const RolloutRules& rules, int more_old, int more_new);

}  // namespace mayfly::plan
