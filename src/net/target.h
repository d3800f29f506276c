#pragma once
// The request's target: path and query, percent-decoded. Pure.
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mayfly::net {

struct Target {
  std::string path;                          // decoded, as one text, for messages
  std::vector<std::string> segments;         // "/v1/jobs/7" → v1, jobs, 7; each decoded on its own
  std::map<std::string, std::string> query;  // a name given twice is an error
};

Result<Target> parse_target(std::string_view target);
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

}  // namespace mayfly::net
