#include "cli/call.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/text.h"

namespace mayfly {
namespace {

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::int64_t n = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (text.empty() || ec != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
}

}  // namespace

std::string Call::value(std::string_view option) const {
  auto it = line.options.find(option);
  return it == line.options.end() ? "" : it->second.back();
}

std::vector<std::string> Call::values(std::string_view option) const {
  auto it = line.options.find(option);
  return it == line.options.end() ? std::vector<std::string>{} : it->second;
}

Result<std::int64_t> Call::number(std::string_view option, std::int64_t missing, std::int64_t least,
                                  std::int64_t most) const {
  if (!has(option)) return missing;
  auto n = whole_number(value(option));
  if (!n || *n < least || *n > most)
    return fail(ErrorCode::invalid, fmt::format("'{}' is not a whole number from {} to {}", value(option), least, most),
                fmt::format("--{}", option));
  return *n;
}

Result<std::uint64_t> Call::job_operand(std::size_t index) const {
  std::string_view text = line.operands.at(index);
  if (text.starts_with("job/")) text.remove_prefix(4);
  auto n = whole_number(text);
  if (!n || *n < 1)
    return fail(ErrorCode::invalid, fmt::format("'{}' is not a job's number", line.operands[index]), {},
                "List jobs with `mayfly jobs`.");
  return static_cast<std::uint64_t>(*n);
}

std::string Call::variable(const std::string& name) const {
  auto it = environment.variables.find(name);
  return it == environment.variables.end() ? "" : it->second;
}

int Call::failed(const Error& error, int code) {
  output.remark(error.text());
  return code;
}

int Call::usage(const Error& error) {
  output.remark(error.text());
  output.err(fmt::format("See `mayfly {} --help`.\n", command().name));
  return exit_usage;
}

}  // namespace mayfly
