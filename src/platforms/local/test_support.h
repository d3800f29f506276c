#pragma once
// For tests of platforms/local/ only: whether this host can run builders, and a platform to try.
#include <memory>
#include <string>

#include "agent/embedded.h"
#include "os/process.h"
#include "platforms/local/host_probe.h"
#include "platforms/local/local.h"

namespace mayfly::testing_support {

// Why builders cannot be tried on this host with this runtime; empty: they can.
inline std::string why_not(const std::string& runtime) {
  for (const auto& check : local::probe_host("/tmp", runtime).checks) {
#if __has_feature(thread_sanitizer)
    // The sanitizer's own thread makes this one check fail; builders are started by a process without it.
    if (check.name == "user namespaces") continue;
#endif
    if (check.status == local::HostCheck::Status::missing)
      return "this host lacks: " + check.name + " (" + check.found + ")";
  }
  if (os::find_program(runtime).empty()) return runtime + " is not installed";
  if (os::find_program("skopeo").empty() || os::find_program("buildah").empty())
    return "skopeo or buildah is not installed";
  return "";
}

inline Result<std::unique_ptr<Platform>> make_local(const std::string& runtime, const std::string& directory,
                                                    const Log& log) {
  local::LocalOptions options;
  options.directory = directory;
  options.agent_program = agent::embedded_agent();
  options.runtime = runtime;
  MAYFLY_ASSIGN(std::unique_ptr<Platform> made, local::LocalPlatform::create(options, log));
  return made;
}

}  // namespace mayfly::testing_support
