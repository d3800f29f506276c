#pragma once
#include <string>

#include "ports/agents.h"

namespace mayfly {

// The log, its index and the result, as an agent leaves them; each only where its directory exists.
void write_fake_files(const AgentOrder& order, const std::string& output, const agent::Finished& finished);

}  // namespace mayfly
