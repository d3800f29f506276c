#pragma once
// How this host limits processes: cgroup v1, v2, or both mounted (hybrid).
#include <string>
#include <vector>

namespace mayfly::local {

struct HostCgroups {
  enum class Layout { none, v1, v2, hybrid } layout = Layout::none;
  std::vector<std::string>
      roots;            // where memory, cpu and pids are: one directory for v2, three for v1; empty: no limits
  std::string problem;  // why there are no limits, one sentence; empty: there are

  bool v2() const { return layout == Layout::v2; }
};

// `at` is /sys/fs/cgroup, or a copy of its shape in a test. Looks, and changes nothing.
HostCgroups probe_cgroups(const std::string& at = "/sys/fs/cgroup");

}  // namespace mayfly::local
