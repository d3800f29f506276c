#pragma once
// One value of the configuration, read as its row in the table says.
#include <string>
#include <vector>

#include "app/config_table.h"
#include "app/config_yaml.h"

namespace mayfly {

// Anything in a message that came from the file: short, and without control characters that a terminal would obey.
std::string shown(std::string_view text);

// "; did you mean 'x'?", or nothing.
std::string suggestion(std::string_view word, const std::vector<std::string>& known);

// False if the value is wrong; `problems` then has at least one more. `folder` is what relative paths are relative to.
// With `keep_quiet` no message repeats the value: it may be a secret, put here by mistake.
bool read_value(const ConfigKey& key, const YamlNode& node, const std::string& folder, bool keep_quiet,
                ConfigValue& value, std::vector<ConfigProblem>& problems);

}  // namespace mayfly
