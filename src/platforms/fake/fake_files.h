#pragma once
#include <fstream>
#include <memory>
#include <string>

#include "ports/agents.h"

namespace mayfly {

// The log, its index and the result, as an agent leaves them; each only where its directory exists.
// Opened when the job is handed over, as for a real agent: moved files are written where they were moved to.
std::shared_ptr<std::ofstream> open_fake_result(const AgentOrder& order);

void write_fake_files(const AgentOrder& order, const std::string& output, const agent::Finished& finished,
                      std::ofstream* result);

}  // namespace mayfly
