#pragma once
// `mayfly simulate`: files in, simulations, a report out.
#include "cli/environment.h"

namespace mayfly {

Result<SimulateAnswer> run_simulate(const SimulateRequest& request);

}  // namespace mayfly
