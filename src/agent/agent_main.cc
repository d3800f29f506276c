// PID 1 inside a builder.
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cstdio>

#include "agent/agent.h"
#include "agent/filter.h"
#include "agent/options.h"

int main(int argc, char** argv) {
  using namespace mayfly::agent;
  // Before anything else: a job must not look into this process, which holds secrets and the host's files.
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  auto unusable = [](const std::string& why) {
    std::fprintf(stderr, "mayfly-agent: %s\n", why.c_str());
    return exit_unusable;
  };
  auto settings = parse_settings(argc, argv);
  if (!settings) return unusable(settings.error().text());
  // It signals every process it can see; anywhere else that would be the whole machine.
  if (::getpid() != 1) return unusable("runs only as PID 1 of a builder; use `mayfly run` to run a job");
  ::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC */);
  ::umask(022);
  if (!settings->hostname.empty() && ::sethostname(settings->hostname.data(), settings->hostname.size()) != 0)
    std::fprintf(stderr, "mayfly-agent: cannot set the hostname to %s\n", settings->hostname.c_str());
  // Before it can be told to run anything: a job inherits the filter, and there is no job without it.
  if (settings->seccomp_fd >= 0)
    if (auto installed = install_filter(settings->seccomp_fd); !installed) return unusable(installed.error().text());
  auto ended = Agent(*settings).run();
  return ended ? exit_released : unusable(ended.error().text());
}
