#include "plan/release.h"

#include <algorithm>
#include <cctype>
#include <tuple>

#include <fmt/format.h>

namespace mayfly::plan {
namespace {

bool digit(char c) { return c >= '0' && c <= '9'; }

// '~' sorts before the end, the end before letters, letters before all else.
int weight(std::string_view text) {
  if (text.empty() || digit(text[0])) return 0;
  if (text[0] == '~') return -1;
  auto c = static_cast<unsigned char>(text[0]);
  return std::isalpha(c) ? c : c + 256;
}

std::string_view take_number(std::string_view& text) {
  while (text.starts_with('0')) text.remove_prefix(1);
  auto end = std::find_if_not(text.begin(), text.end(), digit) - text.begin();
  auto number = text.substr(0, static_cast<std::size_t>(end));
  text.remove_prefix(number.size());
  return number;
}

int compare_part(std::string_view a, std::string_view b) {
  while (!a.empty() || !b.empty()) {
    while ((!a.empty() && !digit(a[0])) || (!b.empty() && !digit(b[0]))) {
      if (int d = weight(a) - weight(b); d != 0) return d;
      if (!a.empty()) a.remove_prefix(1);
      if (!b.empty()) b.remove_prefix(1);
    }
    auto x = take_number(a), y = take_number(b);
    if (x.size() != y.size()) return x.size() < y.size() ? -1 : 1;
    if (int d = x.compare(y); d != 0) return d;
  }
  return 0;
}

std::string with_tildes(std::string_view version) {
  std::string out(version);
  for (const char* suffix : {"_alpha", "_beta", "_pre", "_rc"})
    if (auto at = out.find(suffix); at != std::string::npos) out[at] = '~';
  return out;
}

// Epoch, upstream's version, the distribution's revision.
std::tuple<std::string, std::string, std::string> parts(std::string_view version) {
  auto text = with_tildes(version);
  std::string epoch, revision;
  if (auto colon = text.find(':'); colon != std::string::npos) {
    epoch = text.substr(0, colon);
    text.erase(0, colon + 1);
  }
  if (auto dash = text.rfind('-'); dash != std::string::npos) {
    revision = text.substr(dash + 1);
    text.resize(dash);
  }
  return {epoch, text, revision};
}

using Versions = std::map<std::string, std::string>;  // "deb gcc amd64" → the highest version installed

std::string key_of(const Package& p) { return p.kind + " " + p.name + " " + p.architecture; }

// As the package's own kind orders them.
int compare(const Package& p, std::string_view a, std::string_view b) {
  return p.kind == "rpm" ? compare_rpm_versions(a, b) : compare_package_versions(a, b);
}

Versions highest(const Contents& contents) {
  Versions out;
  for (const auto& p : contents.packages) {
    auto [found, fresh] = out.emplace(key_of(p), p.version);
    if (!fresh && compare(p, found->second, p.version) < 0) found->second = p.version;
  }
  return out;
}

bool has(const Contents& contents, const std::string& tool) {
  return std::binary_search(contents.programs.begin(), contents.programs.end(), tool) ||
         std::any_of(contents.packages.begin(), contents.packages.end(), [&](const auto& p) { return p.name == tool; });
}

}  // namespace

int compare_package_versions(std::string_view a, std::string_view b) {
  auto [ae, av, ar] = parts(a);
  auto [be, bv, br] = parts(b);
  if (int d = compare_part(ae, be); d != 0) return d;
  if (int d = compare_part(av, bv); d != 0) return d;
  return compare_part(ar, br);
}

LevelChoice release_level(VersionLevel declared, const Contents& before, const Contents& after,
                          const std::vector<std::string>& provides) {
  LevelChoice out{declared, {}};
  auto ask = [&](VersionLevel level, std::string why) {
    if (level > declared) out.why.push_back(std::move(why));
    out.level = std::max(out.level, level);
  };
  for (const auto& tool : provides)
    if (has(before, tool) && !has(after, tool))
      ask(VersionLevel::major, fmt::format("{} is gone, which the image promises to provide", tool));
  auto old_versions = highest(before), new_versions = highest(after);
  for (const auto& p : before.packages) {
    auto old = old_versions.extract(key_of(p));
    if (old.empty()) continue;  // its other version was looked at
    auto now = new_versions.find(old.key());
    if (now == new_versions.end())
      ask(VersionLevel::minor, fmt::format("package {} was removed", p.name));
    else if (compare(p, now->second, old.mapped()) < 0)
      ask(VersionLevel::minor, fmt::format("package {} went back from {} to {}", p.name, old.mapped(), now->second));
  }
  return out;
}

std::vector<SemVer> sweepable(const std::vector<SemVer>& versions, const std::set<SemVer>& used,
                              const std::map<std::string, std::string>& channels, std::size_t keep) {
  std::set<std::string> named;
  for (const auto& [channel, version] : channels) named.insert(version);
  auto sorted = versions;
  std::sort(sorted.rbegin(), sorted.rend());
  std::vector<SemVer> out;
  for (std::size_t i = keep; i < sorted.size(); ++i)
    if (!used.contains(sorted[i]) && !named.contains(sorted[i].text())) out.push_back(sorted[i]);
  return out;
}

std::vector<BuildId> sweepable_builds(const std::vector<ImageBuild>& builds, const std::set<std::string>& references,
                                      std::size_t keep) {
  std::set<std::string> needed = references;
  std::set<BuildId> lent;  // to builds under way with the same recipe
  for (const auto& b : builds) {
    if (is_final(b.state)) continue;
    needed.insert(b.reference);
    lent.insert(b.same_as);
  }
  std::vector<BuildId> out;
  std::size_t good = 0;
  for (const auto& b : builds) {
    const bool own = is_final(b.state) && b.same_as == 0 && !b.reference.empty() && b.swept_at == Time{};
    if (!own) continue;
    const bool passed = b.state == BuildState::passed || b.state == BuildState::released;
    if (passed && ++good <= keep) continue;
    if (!needed.contains(b.reference) && !lent.contains(b.id)) out.push_back(b.id);
  }
  return out;
}

}  // namespace mayfly::plan
