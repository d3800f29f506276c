#pragma once
// From the tree to a Config, by the table; then what no single key can tell (config_check.cc).
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "app/config_yaml.h"
#include "model/pool.h"

namespace mayfly {

struct ConfigReading {
  Config config;                           // meaningful if there are no problems
  std::vector<ConfigProblem> problems;     // in the file's order
  std::map<std::string, YamlMark> places;  // "pools.general.image" → where its value is
  std::set<std::string> wrong;  // such paths whose values could not be read: nothing follows from their defaults
};

// `folder` is absolute: what relative paths in the file are relative to.
ConfigReading read_config(std::string_view text, const std::string& folder);

// Part of read_config: whether the values fit together. Also turns relative folders in image references absolute.
void check_config(ConfigReading& reading, const std::string& folder);

}  // namespace mayfly
