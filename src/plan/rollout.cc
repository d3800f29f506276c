#include "plan/rollout.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

namespace mayfly::plan {
namespace {

double log_choose(int n, int k) { return std::lgamma(n + 1.0) - std::lgamma(k + 1.0) - std::lgamma(n - k + 1.0); }

double rate(const VersionTally& t) { return t.jobs == 0 ? 0 : static_cast<double>(t.failed) / t.jobs; }

std::string failures(const VersionTally& t) { return fmt::format("{} of {}", t.failed, t.jobs); }

// Why the new version cannot even be started; empty: it can, as far as is known.
std::string unusable(const Rollout& r, const RolloutSight& s) {
  const auto version = r.to.text();
  if (!s.image.ready && !s.image.problem.empty() && (s.image.permanent || s.image.failures >= s.failed_images))
    return fmt::format("version {} cannot be had: {}", version, s.image.problem);
  if (r.new_tally.failed_starts >= rollback_starts)
    return fmt::format("{} builders of version {} in a row could not be started; the last: {}",
                       r.new_tally.failed_starts, version, s.starts.problem);
  return {};
}

RolloutStep prove(const Rollout& r, const RolloutRules& rules, const RolloutSight& s, RolloutState next, Time now) {
  const auto& t = r.new_tally;
  if (t.jobs >= rules.min_jobs)
    return {
        next,
        fmt::format("{} jobs on {} failed, {} on {}", failures(t), r.to.text(), failures(r.old_tally), r.from.text()),
        {}};
  Time until = r.state_at + rules.soak;
  // One that no builder has come up from is not good yet, however long nothing was heard against it.
  if (next == RolloutState::promoted && t.ready == 0 && s.room)
    return {{}, "no builder of it has come up yet", now < until ? std::optional(until) : std::nullopt};
  if (now >= until)
    return {next,
            fmt::format("nothing spoke against it within {}; {} jobs failed", format_duration(rules.soak), failures(t)),
            {}};
  return {{}, fmt::format("{} of {} jobs have ended on it", t.jobs, rules.min_jobs), until};
}

RolloutStep warm(const Rollout& r, const RolloutSight& s) {
  if (!s.image.ready) return {{}, "its image is being made ready", {}};
  // A pool whose builders all have jobs keeps no idle one of either version: there one that came up is proof enough.
  bool all_busy = s.old_ready == 0 && s.old_coming == 0 && r.new_tally.ready > 0;
  if (s.new_ready < s.wanted && !all_busy)
    return {{}, fmt::format("{} of {} of its builders are ready", s.new_ready, s.wanted), {}};
  auto why =
      s.wanted == 0 ? std::string("its image is ready") : fmt::format("{} of its builders are ready", s.new_ready);
  return {r.asked ? RolloutState::promoted : RolloutState::watching, why, {}};
}

}  // namespace

double fisher_one_sided(int failed, int jobs, int other_failed, int other_jobs) {
  int all = jobs + other_jobs, bad = failed + other_failed;
  double p = 0;
  for (int k = failed; k <= std::min(bad, jobs); ++k) {
    if (bad - k > other_jobs) continue;
    p += std::exp(log_choose(jobs, k) + log_choose(other_jobs, bad - k) - log_choose(all, bad));
  }
  return std::min(p, 1.0);
}

std::string evidence_against(const Rollout& r, const RolloutRules& rules) {
  const auto &n = r.new_tally, &o = r.old_tally;
  if (n.failed < rollback_failures || rate(n) - rate(o) <= rules.margin) return {};
  double p = fisher_one_sided(n.failed, n.jobs, o.failed, o.jobs);
  if (p > rollback_level) return {};
  return fmt::format("{} jobs on {} failed, {} on {}: by chance that happens once in {} times", failures(n),
                     r.to.text(), failures(o), r.from.text(), p > 1e-6 ? fmt::format("{:.0f}", 1 / p) : "a million");
}

RolloutState first_state(const RolloutRules& rules, bool asked) {
  return rules.canary > 0 && !asked ? RolloutState::canary : RolloutState::warming;
}

RolloutStep next_step(const Rollout& r, const RolloutRules& rules, const RolloutSight& sight, Time now) {
  if (is_over(r.state)) return {};
  if (auto why = unusable(r, sight); !why.empty()) return {RolloutState::rolled_back, why, {}};
  // Who returned to an earlier version by hand knows why: the version he left is no measure for it.
  if (auto why = r.asked ? std::string() : evidence_against(r, rules); !why.empty())
    return {RolloutState::rolled_back, why, {}};
  if (r.paused) return {{}, "paused", {}};
  if (r.state == RolloutState::canary) return prove(r, rules, sight, RolloutState::warming, now);
  if (r.state == RolloutState::warming) return warm(r, sight);
  return prove(r, rules, sight, RolloutState::promoted, now);
}

bool canary_turn(const Rollout& r, const RolloutRules& rules, int more_old, int more_new) {
  int fresh = r.new_tally.launched + more_new;
  return fresh < rules.canary * (r.old_tally.launched + more_old + fresh + 1);
}

}  // namespace mayfly::plan
