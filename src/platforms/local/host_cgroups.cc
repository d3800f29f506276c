#include "platforms/local/host_cgroups.h"

#include <unistd.h>

#include "base/text.h"
#include "os/file.h"

namespace mayfly::local {
namespace {

bool exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

}  // namespace

HostCgroups probe_cgroups(const std::string& at) {
  HostCgroups found;
  if (exists(at + "/cgroup.controllers")) {
    found.layout = HostCgroups::Layout::v2;
    const std::string controllers = " " + os::read_file(at + "/cgroup.controllers", 4096).value_or("") + " ";
    for (const char* name : {"memory", "cpu", "pids"}) {
      std::string spaced = controllers;
      for (char& c : spaced) c = c == '\n' ? ' ' : c;
      if (spaced.find(std::string(" ") + name + " ") == std::string::npos)
        found.problem = std::string("the cgroup controller ") + name + " is not available in " + at;
    }
    if (found.problem.empty()) found.roots = {at};
  } else {
    for (const char* name : {"memory", "cpu", "pids"}) {
      if (exists(at + "/" + name + "/cgroup.procs"))
        found.roots.push_back(at + "/" + name);
      else
        found.problem = std::string("the cgroup controller ") + name + " is not mounted at " + at + "/" + name;
    }
    const bool any = !found.roots.empty();
    if (any)
      found.layout = exists(at + "/unified/cgroup.procs") ? HostCgroups::Layout::hybrid : HostCgroups::Layout::v1;
    if (!found.problem.empty()) found.roots.clear();
  }
  for (const auto& root : found.roots)
    if (access(root.c_str(), W_OK) != 0) found.problem = root + " is not writable: this user has no cgroups delegated";
  if (!found.problem.empty()) found.roots.clear();
  return found;
}

}  // namespace mayfly::local
