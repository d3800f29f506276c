#include "plan/base_watch.h"

#include <algorithm>

#include <fmt/format.h>

namespace mayfly::plan {
namespace {

constexpr const char* other_places[] = {
    "oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "dir:", "containers-storage:"};

std::string host_part(const std::string& base) {
  auto slash = base.find('/');
  if (slash == std::string::npos) return "";
  auto host = base.substr(0, slash);
  return host == "localhost" || host.find_first_of(".:") != std::string::npos ? host : "";
}

bool may_change(const std::string& base) {
  if (base.empty() || base.starts_with("localhost/") || base.find("://") != std::string::npos) return false;
  if (base.find_first_of("@$ ") != std::string::npos) return false;
  return std::none_of(std::begin(other_places), std::end(other_places),
                      [&](const char* place) { return base.starts_with(place); });
}

const ImageBuild* newest(const std::vector<ImageBuild>& builds) {
  for (const auto& b : builds)
    if (b.release && !b.registry_bases.empty()) return &b;
  return nullptr;
}

std::string shown(const std::string& digest) { return digest.empty() ? "not known" : digest.substr(0, 19); }

// "base image X changed: sha256:… -> sha256:…" for each that the build was not made from.
std::string changes(const ImageBuild& b, const std::map<std::string, std::string>& seen) {
  std::string out;
  for (const auto& [base, digest] : seen) {
    auto had = b.registry_bases.find(base);
    auto before = had == b.registry_bases.end() ? "" : had->second;
    if (before == digest) continue;
    out +=
        fmt::format("{}base image {} changed: {} -> {}", out.empty() ? "" : "; ", base, shown(before), shown(digest));
  }
  return out;
}

}  // namespace

std::vector<std::string> registry_bases(const std::vector<std::string>& bases) {
  std::vector<std::string> out;
  std::copy_if(bases.begin(), bases.end(), std::back_inserter(out), may_change);
  return out;
}

bool names_registry(const std::string& base) { return !host_part(base).empty(); }

std::string registry_of(const std::string& base) {
  auto host = host_part(base);
  return host.empty() ? "docker.io" : host;
}

std::map<std::string, std::string> tried_bases(const std::vector<ImageBuild>& newest_first) {
  const auto* tried = newest(newest_first);
  return tried ? tried->registry_bases : std::map<std::string, std::string>();
}

BaseJudgement judge_bases(const std::vector<ImageBuild>& builds, const std::map<std::string, std::string>& seen) {
  const auto* tried = newest(builds);
  if (!tried) return {};
  auto good = std::find_if(builds.begin(), builds.end(), [](const auto& b) {
    return b.release && !b.registry_bases.empty() &&
           (b.state == BuildState::released || b.state == BuildState::unchanged);
  });
  if (good != builds.end() && changes(*good, seen).empty()) return {};
  const auto since = changes(good != builds.end() ? *good : *tried, seen);
  for (const auto& b : builds)
    if (b.release && !is_final(b.state))
      return {false, since.empty() ? "" : fmt::format("{}; build {} is {}", since, b.id, to_string(b.state))};
  if (auto why = changes(*tried, seen); !why.empty()) return {true, why};
  if (since.empty() || tried->state == BuildState::released || tried->state == BuildState::unchanged) return {};
  return {false, fmt::format("{}; build {} on it is {}, so it is not built again before it changes once more. "
                             "`mayfly image build {} --again` does",
                             since, tried->id, to_string(tried->state), tried->image)};
}

}  // namespace mayfly::plan
