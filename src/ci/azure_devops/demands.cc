#include "ci/azure_devops/demands.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"
#include "ci/azure_devops/job.h"

namespace mayfly::azure_devops {
namespace {

bool equal(std::string_view a, std::string_view b, Case match) {
  if (match == Case::exact) return a == b;
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

struct Demand {
  std::string_view name, operation, value;
};

// "name", or "name -operation value": the value may have spaces.
Demand read(std::string_view text) {
  text = trim(text);
  auto dash = text.find(" -");
  if (dash == std::string_view::npos) return {text, {}, {}};
  auto rest = text.substr(dash + 1);
  auto space = rest.find(' ');
  auto operation = rest.substr(0, space);
  auto value = space == std::string_view::npos ? std::string_view() : trim(rest.substr(space));
  return {trim(text.substr(0, dash)), operation, value};
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) { return equal(a, b, Case::ignore); }

bool meets(std::string_view demand, const Capabilities& capabilities, Case match) {
  auto d = read(demand);
  if (d.name.empty() || equal(d.name, "Agent.Version", Case::ignore)) return true;
  return std::any_of(capabilities.begin(), capabilities.end(), [&](const auto& c) {
    if (!equal(c.first, d.name, match)) return false;
    if (d.operation.empty()) return true;
    if (equal(d.operation, "-equals", Case::ignore)) return equal(c.second, d.value, match);
    return equal(d.operation, "-gtVersion", Case::ignore) && !older(c.second, d.value);
  });
}

std::string unmet_demand(const std::vector<std::string>& demands, const Capabilities& capabilities, Case match) {
  for (const auto& d : demands)
    if (!meets(d, capabilities, match)) return d;
  return {};
}

}  // namespace mayfly::azure_devops
