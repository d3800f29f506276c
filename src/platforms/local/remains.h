#pragma once
// What a builder leaves on the host, found by what was written down before it was made, so that nothing stays after a
// crash at any point. No state of its own; any thread.
#include <string>
#include <vector>

#include "ports/platform.h"

namespace mayfly::local {

struct BuilderPlace {
  std::string platform_directory;
  std::string cgroup;                     // below each root; empty: there are none
  std::vector<std::string> cgroup_roots;  // every mounted hierarchy: runc uses them all
  std::string directory(const BuilderId& id) const { return platform_directory + "/b/" + id; }
};

// Whether the container's first process still runs: the very process, not another with its pid.
bool is_alive(const BuilderPlace& place, const BuilderId& id);

// The same of a slot, or of a builder that is not said to be alive yet. `directory`: its own.
bool first_process_runs(const std::string& directory);

// Kills and removes what a slot made that no builder came of. `directory`: the slot's own.
Result<void> remove_slot(const BuilderPlace& place, const std::string& directory, Deadline deadline);

// Kills and removes all of it. True when nothing is left (or never was).
Result<void> remove_builder(const BuilderPlace& place, const BuilderId& id, Deadline deadline);

}  // namespace mayfly::local
