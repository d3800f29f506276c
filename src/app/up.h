#pragma once
// The hooks that only the app can fill: running a daemon in this process.
#include "cli/environment.h"

namespace mayfly {

// `mayfly up`: until SIGTERM or SIGINT; a second one leaves at once. Gives the exit code.
int run_up(const UpRequest& request);

// `mayfly run --image`: a private daemon with one pool on a temporary state directory.
Result<Standalone> run_standalone(const StandaloneRequest& request);

}  // namespace mayfly
