#include "api/query.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly::api {
namespace {

std::optional<std::uint64_t> to_number(const std::string& text) {
  std::uint64_t n = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return n;
}

}  // namespace

std::string Query::text(const std::string& name) {
  asked_.push_back(name);
  auto found = target_.query.find(name);
  return found == target_.query.end() ? std::string() : found->second;
}

std::uint64_t Query::number(const std::string& name, std::uint64_t missing, std::uint64_t most) {
  auto value = text(name);
  if (!target_.query.contains(name)) return missing;
  auto n = to_number(value);
  if (!n) wrong(name, "a whole number");
  return std::min(n.value_or(missing), most);
}

std::optional<bool> Query::flag(const std::string& name) {
  auto value = text(name);
  if (!target_.query.contains(name)) return std::nullopt;
  if (value == "true" || value == "1" || value.empty()) return true;
  if (value != "false" && value != "0") wrong(name, "true or false");
  return false;
}

void Query::wrong(const std::string& name, const std::string& expected) {
  if (problem_.empty()) problem_ = fmt::format("'{}' is not {}", name, expected);
}

Result<void> Query::check() const {
  if (!problem_.empty()) return fail(ErrorCode::invalid, problem_, target_.path);
  for (const auto& [name, value] : target_.query) {
    if (std::find(asked_.begin(), asked_.end(), name) != asked_.end()) continue;
    auto near = nearest(name, asked_);
    auto next = near             ? fmt::format("Did you mean '{}'?", *near)
                : asked_.empty() ? "It takes none."
                                 : fmt::format("Known: {}.", join(asked_, ", "));
    return fail(ErrorCode::invalid, fmt::format("unknown parameter '{}'", name), target_.path, next);
  }
  return {};
}

Result<std::uint64_t> parse_id(const std::string& text) {
  if (auto n = to_number(text)) return *n;
  return fail(ErrorCode::not_found, fmt::format("'{}' is not the id of a job", text), {},
              "Ids are numbers; GET /v1/jobs lists them.");
}

}  // namespace mayfly::api
