#pragma once
// The system call filter around this process and all that it starts.
#include "base/result.h"

namespace mayfly::agent {

// Reads the program (struct sock_filter[], raw) from the descriptor and closes that. Not in the job's process but once
// in the agent, while it waits for a job: installing takes the kernel longer than all else between a job and its first
// output. No process may gain privileges from here on, which the kernel demands.
Result<void> install_filter(int fd);

}  // namespace mayfly::agent
