#pragma once
// Which pools jobs could go to: the planner's own answer (plan::pools_for), for every demand of a workload at once.
#include <vector>

#include "base/result.h"
#include "model/pool.h"
#include "simulate/workload.h"

namespace mayfly::simulate {

// By the workload's demands: the pools that could take such a job, the one to ask first in front; never none. Fails for
// demands that no pool meets, and says where each was asked for, up to twenty of them.
Result<std::vector<std::vector<PoolName>>> route(const Config& config, const Workload& workload);

}  // namespace mayfly::simulate
