#pragma once
// Every key that a configuration may have: one table. It validates, makes the JSON Schema and the reference in
// docs/configuration.md, and knows the names to suggest. A new key is one row here (and a member in model/pool.h).
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/pool.h"

namespace mayfly {

enum class ConfigSection {
  top,
  image,
  pool,
  builders,
  schedule,
  rollout,
  azure_devops,
  github,
  platform,
  secret,
  server,
  tls,
  release,
  report,
  commit_status,
  docker
};

enum class ConfigKind {
  text,
  path,  // made absolute, relative to the configuration's folder
  integer,
  number,
  size,  // bytes
  duration,
  choice,    // one of `choices`
  names,     // a list of names
  texts,     // a map from names to text
  section,   // a block of the keys of `child`
  sections,  // a map from names to such blocks
  list,      // a list of such blocks
  later,     // planned, but not in this version
};

// A value as read, in the member that its kind uses.
struct ConfigValue {
  std::string text;  // text, path, choice
  std::int64_t integer = 0;
  double number = 0;
  Duration duration{};
  std::vector<std::string> names;
  std::map<std::string, std::string> texts;
};

// Where the values of a section go; the members that a section's keys need are set.
struct ConfigTarget {
  Config* config = nullptr;
  ImageSpec* image = nullptr;
  PoolSpec* pool = nullptr;
  ScheduleEntry* schedule = nullptr;
  SecretSpec* secret = nullptr;
  PlatformSpec* platform = nullptr;
};

// What a text must look like: `fits` decides, `pattern` says the same to the JSON Schema, `words` to people.
struct ConfigShape {
  bool (*fits)(std::string_view);
  std::string_view pattern;
  std::string_view words;
};

// A choice that has settings: the keys of a section of its own, as {name: {…}}.
struct ConfigBlock {
  std::string_view choice;
  ConfigSection section;
};

struct ConfigKey {
  ConfigSection in = ConfigSection::top;
  std::string_view name = {};
  ConfigKind kind = ConfigKind::text;
  bool required = false;
  std::string_view fallback = {};            // the default, as it would be written
  std::string_view min = {}, max = {};       // as they would be written
  std::string_view choices = {};             // words with spaces between
  std::string_view later_choices = {};       // known, but not in this version
  bool block = false;                        // a choice may be written as {name: {}} as well
  std::span<const ConfigBlock> blocks = {};  // the choices that have settings
  const ConfigShape* shape = nullptr;        // of a text, of the names in a list, of the keys of a map
  ConfigSection child = ConfigSection::top;
  std::string_view needs = {};  // keys of the same section without which this one means nothing
  bool names_secret = false;    // its text is a name under `secrets:`
  std::string_view example = {};
  std::string_view doc = {};
  void (*store)(const ConfigTarget&, const ConfigValue&) = nullptr;
};

struct ConfigSectionInfo {
  ConfigSection section;
  std::string_view id;     // in the JSON Schema
  std::string_view title;  // in messages: "pool" for "pool 'general'"
  std::string_view path;   // in the reference
  std::string_view doc;
  bool exactly_one = false;  // of its keys must be given
};

std::span<const ConfigKey> config_keys();
std::span<const ConfigSectionInfo> config_sections();
const ConfigSectionInfo& config_section(ConfigSection section);

// The words of `choices` or `needs`.
std::vector<std::string> config_words(std::string_view list);

// The three kinds of ranges as one number (bytes, microseconds, the number itself); aborts on a text not of that kind:
// only for the texts in the table.
double config_bound(ConfigKind kind, std::string_view text);

}  // namespace mayfly
