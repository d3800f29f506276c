#pragma once
// Which jobs a pool's builders can take. Pure; no I/O. A demand is "name" or "name -equals value", and a job runs on an
// agent that has all of them (learn.microsoft.com, "Pipeline demands").
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ci/azure_devops/replies.h"

namespace mayfly::azure_devops {

using Capabilities = std::map<std::string, std::string>;

enum class Case { ignore, exact };  // of names and values; the service itself ignores it

// Names of pools and agents are one whatever their case.
bool same_name(std::string_view a, std::string_view b);

// The demand is met. "Agent.Version" is: which agent runs is the image's matter, and the service adds that demand to
// every job.
bool meets(std::string_view demand, const Capabilities& capabilities, Case match);

// The first demand that is not met; empty: all are.
std::string unmet_demand(const std::vector<std::string>& demands, const Capabilities& capabilities, Case match);

}  // namespace mayfly::azure_devops
