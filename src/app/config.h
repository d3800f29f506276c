#pragma once
// mayfly.yaml → Config. Every mistake of a file is reported at once (up to 20), each with its place, the line, and what
// was probably meant. The keys, the JSON Schema and the reference come from one table (config_table.h).
#include <string>
#include <string_view>

#include "base/result.h"
#include "model/pool.h"

namespace mayfly {

// Reads the file. Relative paths in it are relative to its folder, and absolute in the result.
Result<Config> load_config(const std::string& path);

// `filename` is what messages call it, and its folder is what relative paths are relative to. Reads no file.
Result<Config> parse_config(std::string_view text, const std::string& filename);

// JSON Schema, draft 2020-12: docs/mayfly.schema.json. Editors check and complete by it.
std::string config_schema();

// The tables of docs/configuration.md, as Markdown.
std::string config_reference();

}  // namespace mayfly
