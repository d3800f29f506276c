#pragma once
// YAML as a configuration needs it: one document as a tree in which every key and value knows its place. Anchors,
// aliases and tags are refused, so what is read is never larger than what was written (a 7-level alias bomb resolves to
// 759 MB).
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mayfly {

struct YamlMark {
  int line = 1, column = 1;  // both from 1; columns count characters, not bytes
  auto operator<=>(const YamlMark&) const = default;
};

struct YamlEntry;

struct YamlNode {
  enum class Kind { scalar, list, map };
  Kind kind = Kind::scalar;
  YamlMark at;
  std::string text;                // of a scalar
  bool plain = false;              // a scalar written without quotes
  std::vector<YamlNode> items;     // of a list
  std::vector<YamlEntry> entries;  // of a map, in the file's order, each key once

  bool is_null() const { return kind == Kind::scalar && plain && (text.empty() || text == "~" || text == "null"); }
  const YamlEntry* find(std::string_view key) const;
};

struct YamlEntry {
  std::string key;
  YamlMark at;
  YamlNode value;
};

// Something wrong at a place in the file.
struct ConfigProblem {
  YamlMark at;
  std::string text;
  int show = 1 << 30;  // of the source line, at most so many characters are shown: what follows may be a secret's value
};

inline constexpr std::size_t max_config_bytes = 1 << 20;

// Nothing if the text is not usable at all; `problems` says why, and also names duplicate keys, which alone do not stop
// it.
std::optional<YamlNode> parse_yaml(std::string_view text, std::vector<ConfigProblem>& problems);

}  // namespace mayfly
