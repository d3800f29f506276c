#pragma once
// Runs other programs: posix_spawn, so that the daemon's size does not matter, and a pidfd, so that a deadline can be
// kept without signals. Any thread; blocks until the program has ended or the deadline has passed.
#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"
#include "os/stop_signal.h"

namespace mayfly::os {

struct Command {
  std::vector<std::string> argv;      // argv[0] is looked up in PATH unless it has a slash
  std::string input = {};             // for its stdin; empty: /dev/null
  std::vector<std::string> env = {};  // "NAME=value": added to, or replacing, the daemon's own
  std::string directory = {};         // to run in; empty: the daemon's
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  const StopSignal* stop = nullptr;   // raised: its process group is killed
  std::size_t out_limit = 4u << 20;   // bytes of stdout kept: the first ones
  std::size_t err_limit = 64u << 10;  // bytes of stderr kept: the last ones, since errors come last
};

struct Finish {
  int exit_code = 0;  // 128 + signal when a signal ended it
  int signal = 0;
  std::string out, err;
  bool out_truncated = false, err_truncated = false;

  bool ok() const { return exit_code == 0; }
  // The last line of stderr that says something; for error messages.
  std::string last_error_line() const;
};

// Fails when it could not be started (unsupported: no such program, with the advice to install it), did not end in
// time (timeout: its process group was killed), or was stopped (unavailable: the same). Ending with an exit code other
// than 0 is not a failure of run().
Result<Finish> run(const Command& command);

// The full path of a program in PATH; empty when there is none.
std::string find_program(const std::string& name);

}  // namespace mayfly::os
