#include "plan/version_choice.h"

#include <algorithm>

namespace mayfly::plan {

VersionChoice choose_version(const VersionRange& follows, const std::map<SemVer, ImageVersion>& versions,
                             const std::optional<SemVer>& current, const std::vector<SemVer>& refused,
                             const std::function<bool(const SemVer&)>& there) {
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
    if (there && number != current && !there(number)) continue;
    auto stood = current ? versions.find(*current) : versions.end();
    bool back = stood != versions.end() && number < *current && stood->second.state == VersionState::withdrawn;
    return {number, back};
  }
  bool known = current && versions.contains(*current);
  return {fitted && known ? current : std::nullopt, false};
}

std::vector<std::string> pulled_from(const std::vector<std::string>& registries,
                                     const std::vector<std::string>& repositories) {
  std::vector<std::string> out;
  for (const auto& repository : repositories)
    if (std::any_of(registries.begin(), registries.end(), [&](const std::string& r) {
          return repository == r || (repository.starts_with(r) && repository[r.size()] == '/');
        }))
      out.push_back(repository);
  return out;
}

}  // namespace mayfly::plan
