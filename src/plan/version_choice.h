#pragma once
// Which version of its image a pool ought to stand on. Pure.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/rollout.h"
#include "model/version.h"

namespace mayfly::plan {

struct VersionChoice {
  std::optional<SemVer> version;  // none: nothing that was released fits
  bool back = false;              // a return: what the pool stands on was withdrawn
};

// The highest released version that fits and was not rolled back in this pool. Where all that fit were rolled back, or
// withdrawn since the pool has stood on one of them, it is what the pool stands on.
VersionChoice choose_version(const VersionRange& follows, const std::map<SemVer, ImageVersion>& versions,
                             const std::optional<SemVer>& current, const std::vector<SemVer>& refused);

}  // namespace mayfly::plan
