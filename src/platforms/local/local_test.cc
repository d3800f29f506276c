// The contract suite for `local`, with crun and with runc.
#include <unistd.h>

#include "platforms/local/host_cgroups.h"
#include "platforms/local/launcher_support.h"
#include "platforms/local/test_support.h"
#include "tests/contract/platform_contract.h"

namespace mayfly::testing_support {
namespace {

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
          [runtime](const std::string& directory, const Log& log) { return make_local(runtime, directory, log); },
          remains};
}

INSTANTIATE_TEST_SUITE_P(Local, PlatformContract, testing::Values(with_runtime("crun"), with_runtime("runc")),
                         platform_test_name);

}  // namespace
}  // namespace mayfly::testing_support
