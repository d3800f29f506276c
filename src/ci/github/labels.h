#pragma once
// Whether a runner with these labels may take a job that asks for those. Pure; any thread.
#include <string>
#include <vector>

#include "base/result.h"

namespace mayfly::github {

// What a runner on Linux carries without being told ("self-hosted", "Linux" and the machine's architecture), followed
// by the pool's own; each once, whatever its case. GitHub gives just-in-time runners only what they are made with, so
// the usual ones are among them.
std::vector<std::string> runner_labels(const std::vector<std::string>& own);

// Every label of the job must be among the runner's, whatever the case. A job without labels goes to no runner.
bool serves(const std::vector<std::string>& runner, const std::vector<std::string>& job);

// 1 to 90 labels of at most 256 bytes, without commas or control characters.
Result<void> check_labels(const std::vector<std::string>& own);

}  // namespace mayfly::github
