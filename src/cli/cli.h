#pragma once
// The command line: a client of the public HTTP API.
#include <string>
#include <vector>

#include "cli/environment.h"

namespace mayfly {

// `args` without the program's name. Gives the exit code; everything else it has to say goes to the streams.
int cli_main(const std::vector<std::string>& args, CliEnvironment& environment);

}  // namespace mayfly
