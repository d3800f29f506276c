// The contract suite for `local`, with crun and with runc.
#include "platforms/local/local.h"

#include <unistd.h>

#include "agent/embedded.h"
#include "platforms/local/host_cgroups.h"
#include "platforms/local/host_probe.h"
#include "platforms/local/launcher_support.h"
#include "tests/contract/platform_contract.h"

namespace mayfly::testing_support {
namespace {

std::string why_not(const std::string& runtime) {
  for (const auto& check : local::probe_host("/tmp", runtime).checks)
    if (check.status == local::HostCheck::Status::missing)
      return "this host lacks: " + check.name + " (" + check.found + ")";
  if (os::find_program(runtime).empty()) return runtime + " is not installed";
  if (os::find_program("skopeo").empty() || os::find_program("buildah").empty())
    return "skopeo or buildah is not installed";
  return "";
}

// Whatever still carries the builder's name, or its state directory's, where a builder leaves traces.
std::string remains(const std::string& directory, const BuilderId& id) {
  std::string found;
  for (const char* place : {"/b/", "/r/"})
    if (access((directory + place + id).c_str(), F_OK) == 0) found += directory + place + id + "\n";
  for (const auto& name : local::names_in(directory + "/trash")) found += "trash/" + name + "\n";
  for (const auto& pid : local::names_in("/proc")) {
    const auto host = os::read_file("/proc/" + pid + "/cmdline", 65536);
    if (host && pid[0] >= '0' && pid[0] <= '9' && host->find(directory + "/b/" + id) != std::string::npos)
      found += "process " + pid + "\n";
  }
  const auto mounts = os::read_file("/proc/self/mounts", 8u << 20).value_or("");
  if (mounts.find(directory) != std::string::npos) found += "a mount below " + directory + "\n";
  return found;
}

PlatformUnderTest with_runtime(const std::string& runtime) {
  return {runtime, why_not(runtime), local::probe_cgroups().problem,
          [runtime](const std::string& directory, const Log& log) -> Result<std::unique_ptr<Platform>> {
            local::LocalOptions options;
            options.directory = directory;
            options.agent_program = agent::embedded_agent();
            options.runtime = runtime;
            MAYFLY_ASSIGN(std::unique_ptr<Platform> made, local::LocalPlatform::create(options, log));
            return made;
          },
          remains};
}

INSTANTIATE_TEST_SUITE_P(Local, PlatformContract, testing::Values(with_runtime("crun"), with_runtime("runc")),
                         platform_test_name);

}  // namespace
}  // namespace mayfly::testing_support
