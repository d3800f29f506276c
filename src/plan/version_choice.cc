#include "plan/version_choice.h"

#include <algorithm>

namespace mayfly::plan {

VersionChoice choose_version(const VersionRange& follows, const std::map<SemVer, ImageVersion>& versions,
                             const std::optional<SemVer>& current, const std::vector<SemVer>& refused) {
  bool fitted = false;
  for (auto at = versions.rbegin(); at != versions.rend(); ++at) {
    const auto& [number, version] = *at;
    if (!follows.fits(number)) continue;
    bool withdrawn = version.state == VersionState::withdrawn;
    // Whoever names one version gets it, withdrawn or not: he may be looking for what was wrong with it.
    if (withdrawn && !follows.exact() && number != current) continue;
    fitted = true;
    if (withdrawn && !follows.exact()) continue;
    if (std::find(refused.begin(), refused.end(), number) != refused.end()) continue;
    auto stood = current ? versions.find(*current) : versions.end();
    bool back = stood != versions.end() && number < *current && stood->second.state == VersionState::withdrawn;
    return {number, back};
  }
  bool known = current && versions.contains(*current);
  return {fitted && known ? current : std::nullopt, false};
}

}  // namespace mayfly::plan
