#pragma once
// The only place that knows every concrete platform, store, image tool and CI system.
#include <memory>
#include <vector>

#include "base/log.h"
#include "model/pool.h"
#include "model/state_paths.h"
#include "ports/image_tool.h"
#include "ports/platform.h"

namespace mayfly {

// crun or runc, as MAYFLY_RUNTIME says; "auto" without it.
std::string runtime_wanted();

// Whether another daemon will ever be started on this state directory.
enum class StateLife {
  lasting,
  passing,  // a temporary directory: should this process be killed, its builders and the directory go by themselves
};

// Every platform that a pool of this configuration may name. Starts their helper processes.
Result<std::vector<std::unique_ptr<Platform>>> make_platforms(const Config& config, const StatePaths& paths,
                                                              StateLife life, const Log& log);

std::unique_ptr<ImageTool> make_image_tool();

}  // namespace mayfly
