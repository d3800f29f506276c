#pragma once
// Which version a new build of an image gets, from what was declared and from what changed in it; and which versions
// may be swept. Pure.
#include <map>
#include <set>
#include <string>
#include <vector>

#include "model/contents.h"
#include "model/image_build.h"
#include "model/version.h"

namespace mayfly::plan {

// Negative, 0 or positive, as Debian orders versions (deb-version(7)). Alpine's suffixes _alpha, _beta, _pre and _rc
// come before the version itself, like Debian's ~.
int compare_package_versions(std::string_view a, std::string_view b);
// The same as rpm orders "epoch:version-release"; no epoch is 0.
int compare_rpm_versions(std::string_view a, std::string_view b);

struct LevelChoice {
  VersionLevel level = VersionLevel::patch;
  std::vector<std::string> why;  // one sentence for each change that asked for more than was declared
};

// At least what was declared. A package removed or downgraded: minor. Something named in `provides` (a program or a
// package) that was there and is not: major.
LevelChoice release_level(VersionLevel declared, const Contents& before, const Contents& after,
                          const std::vector<std::string>& provides);

// Which versions of an image nothing needs: neither among the `keep` highest, nor in `used`, nor the holder of a
// channel.
std::vector<SemVer> sweepable(const std::vector<SemVer>& versions, const std::set<SemVer>& used,
                              const std::map<std::string, std::string>& channels, std::size_t keep);

// Of one image's builds, newest first: those whose own image nothing needs. Kept are the images of builds under way, of
// versions that are needed (`references`), and of the `keep` newest builds that passed or were released.
std::vector<BuildId> sweepable_builds(const std::vector<ImageBuild>& builds, const std::set<std::string>& references,
                                      std::size_t keep);

}  // namespace mayfly::plan
