#pragma once
// Which version of its image a pool ought to stand on. Pure.
#include <functional>
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
// withdrawn since the pool has stood on one of them, it is what the pool stands on. A version of which `there` says no
// (it is not yet in the registries that the pool's platform pulls from) is passed over, unless the pool stands on it.
VersionChoice choose_version(const VersionRange& follows, const std::map<SemVer, ImageVersion>& versions,
                             const std::optional<SemVer>& current, const std::vector<SemVer>& refused,
                             const std::function<bool(const SemVer&)>& there = {});

// Of the repositories that an image is published to, those that a platform pulls from: what it has to have there before
// a pool may move. `registries` are "HOST[:PORT][/PATH]".
std::vector<std::string> pulled_from(const std::vector<std::string>& registries,
                                     const std::vector<std::string>& repositories);

}  // namespace mayfly::plan
