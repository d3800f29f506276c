#pragma once
// The agent's command line (options.h), read.
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace mayfly::agent {

struct Settings {
  int listen_fd = -1;
  int oom_fd = -1;      // -1: the host cannot tell
  int hold_fd = -1;     // -1: none
  int seccomp_fd = -1;  // -1: none
  Duration orphan_grace{};
  std::string hostname;  // empty: leave it
};

Result<Settings> parse_settings(int argc, const char* const* argv);

}  // namespace mayfly::agent
