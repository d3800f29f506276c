#pragma once
// The lines to the agents inside builders (ports/agents.h): one unix socket each, all on one event-loop thread.
#include <memory>

#include "base/log.h"
#include "ports/agents.h"

namespace mayfly::net {

// `log` and whatever `sink` refers to outlive the result. Events come from the loop's thread.
std::unique_ptr<Agents> make_agent_links(AgentSink sink, const Log& log);

}  // namespace mayfly::net
