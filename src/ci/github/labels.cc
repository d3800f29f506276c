#include "ci/github/labels.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "ci/github/wire.h"

namespace mayfly::github {
namespace {

#if defined(__aarch64__)
constexpr const char* architecture = "ARM64";
#elif defined(__arm__)
constexpr const char* architecture = "ARM";
#else
constexpr const char* architecture = "X64";
#endif

bool has(const std::vector<std::string>& labels, const std::string& wanted) {
  auto low = to_lower(wanted);
  return std::any_of(labels.begin(), labels.end(), [&](const auto& l) { return to_lower(l) == low; });
}

}  // namespace

std::vector<std::string> runner_labels(const std::vector<std::string>& own) {
  std::vector<std::string> all{"self-hosted", "Linux", architecture};
  for (const auto& label : own)
    if (!has(all, label)) all.push_back(label);
  return all;
}

bool serves(const std::vector<std::string>& runner, const std::vector<std::string>& job) {
  return !job.empty() && std::all_of(job.begin(), job.end(), [&](const auto& label) { return has(runner, label); });
}

Result<void> check_labels(const std::vector<std::string>& own) {
  if (own.empty() || own.size() > 90)
    return fail(ErrorCode::invalid, "a pool needs from 1 to 90 labels", "labels",
                "Name at least one that no other runner has, for jobs to ask for by `runs-on`.");
  for (const auto& label : own) {
    bool odd = std::any_of(label.begin(), label.end(),
                           [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == ','; });
    if (label.empty() || label.size() > 256 || odd)
      return fail(ErrorCode::invalid, fmt::format("'{}' cannot be a label", odd ? "…" : label.substr(0, 50)), "labels",
                  "1 to 256 characters without commas.");
  }
  return {};
}

}  // namespace mayfly::github
