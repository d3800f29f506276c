#pragma once
// A rollout: moving a pool from one version of its image to another. And where a pool stands. Values only; no I/O.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/job.h"
#include "model/version.h"

namespace mayfly {

// canary → warming → watching → promoted; from each of the first three to rolled_back or superseded.
enum class RolloutState {
  canary,       // a share of the launches gets the new version (only if the pool asks for it)
  warming,      // candidates start; the old version serves until they are ready
  watching,     // the new version serves; idle builders of the old are gone; the jobs on the new one are counted
  promoted,     // the pool stands on the new version
  rolled_back,  // … on the old one still, and does not try the new one again unasked
  superseded,   // a newer version came before this one was proven
};
std::string_view to_string(RolloutState s);
std::optional<RolloutState> rollout_state_from(std::string_view name);
inline bool is_over(RolloutState s) { return s >= RolloutState::promoted; }

// What became of the jobs on one version, as far as the version can be blamed for it.
struct VersionTally {
  int launched = 0, ready = 0;  // builders
  int jobs = 0;                 // ended, cancelled ones left out
  int failed = 0;               // of these
  int failed_starts = 0;        // of builders, in a row
  bool operator==(const VersionTally&) const = default;
};

struct Rollout {
  SemVer from, to;
  RolloutState state = RolloutState::warming;
  bool paused = false;  // by a person: it stays in its state until a person lets it go on
  std::string why;      // it is in its state; one sentence
  std::string by;       // who asked for the last step; empty: Mayfly itself
  bool asked = false;   // a person chose this version (a return to an earlier one): no canary, nothing to wait for
  VersionTally old_tally, new_tally;  // the old one's includes jobs of before the rollout
  Time started_at{}, state_at{}, ended_at{};
  bool operator==(const Rollout&) const = default;
};

// Where a pool stands between its image's versions: one record a pool.
struct PoolVersions {
  PoolName pool;
  std::string image;               // whose versions these are; another image begins anew
  std::optional<SemVer> current;   // what the pool stands on; none: nothing released fits yet
  std::optional<Rollout> rollout;  // under way, or the last one
  std::vector<SemVer> refused;     // rolled back here, the newest last
  bool operator==(const PoolVersions&) const = default;
};

// A pool's `rollout:` settings.
struct RolloutRules {
  double canary = 0;                      // share of launches, 0 to 1; 0: no canary
  int min_jobs = 20;                      // on the new version, before it counts as proven
  double margin = 0.05;                   // by which its failure rate must exceed the old one's to be rolled back
  Duration soak = std::chrono::hours(1);  // after this without evidence against it, fewer jobs do
  bool operator==(const RolloutRules&) const = default;
};

// Whether this end counts for the version that the job ran on, and whether against it. Nothing: it says nothing.
std::optional<bool> counts_as_failure(const Job& ended);

}  // namespace mayfly
