#include "images/ignore.h"

#include "base/text.h"

namespace mayfly::images {
namespace {

constexpr std::size_t max_rules = 1000, max_pattern = 500;

std::string as_regex(std::string_view pattern) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (pattern.substr(i).starts_with("**/")) {
      out += "(?:.*/)?", i += 2;
    } else if (pattern.substr(i).starts_with("**")) {
      out += ".*", ++i;
    } else if (c == '*') {
      out += "[^/]*";
    } else if (c == '?') {
      out += "[^/]";
    } else {
      if (std::string_view(".[](){}+^$|\\").find(c) != std::string_view::npos) out += '\\';
      out += c;
    }
  }
  return out;
}

}  // namespace

Ignore::Ignore(std::string_view text) {
  for (const auto& raw : split(text, '\n')) {
    auto line = trim(raw);
    if (line.empty() || line.front() == '#' || line.size() > max_pattern) continue;
    const bool back = line.front() == '!';
    if (back) line = trim(line.substr(1));
    while (line.starts_with("./") || line.starts_with("/")) line.remove_prefix(line[0] == '/' ? 1 : 2);
    while (line.ends_with("/")) line.remove_suffix(1);
    if (line.empty()) continue;
    rules_.push_back({std::regex(as_regex(line) + "(?:/.*)?"), back});
    if (rules_.size() == max_rules) return;
  }
}

bool Ignore::leaves_out(std::string_view path) const {
  bool out = false;
  for (const auto& rule : rules_)
    if (out == rule.back && std::regex_match(path.begin(), path.end(), rule.pattern)) out = !rule.back;
  return out;
}

}  // namespace mayfly::images
