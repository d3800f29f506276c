#include "platforms/local/host_probe.h"

#include <cstdlib>

#include <gtest/gtest.h>

#include "os/file.h"
#include "platforms/local/host_cgroups.h"

namespace mayfly::local {
namespace {

TEST(HostProbe, EveryProblemHasAdviceAndEveryCheckAFinding) {
  const HostReport report = probe_host("/tmp/mayfly-probe");
  EXPECT_GE(report.checks.size(), 15u);
  for (const auto& check : report.checks) {
    EXPECT_FALSE(check.name.empty() || check.found.empty()) << check.name;
    if (check.status == HostCheck::Status::missing) EXPECT_FALSE(check.advice.empty()) << check.name;
  }
}

TEST(HostProbe, ALongStateDirectoryIsSaid) {
  for (const auto& check : probe_host("/tmp/" + std::string(100, 'x')).checks)
    if (check.name == "state directory") EXPECT_EQ(check.status, HostCheck::Status::missing);
}

TEST(HostProbe, CgroupLayoutsAreTold) {
  std::string at = "/tmp/mayfly-cgroup-XXXXXX";
  ASSERT_NE(mkdtemp(at.data()), nullptr);
  EXPECT_EQ(probe_cgroups(at).layout, HostCgroups::Layout::none);
  for (const char* name : {"/memory", "/cpu", "/pids"}) {
    ASSERT_TRUE(os::make_directories(at + name));
    EXPECT_FALSE(probe_cgroups(at).problem.empty());
    ASSERT_TRUE(os::write_file_atomically(at + name + "/cgroup.procs", ""));
  }
  EXPECT_EQ(probe_cgroups(at).layout, HostCgroups::Layout::v1);
  EXPECT_EQ(probe_cgroups(at).roots.size(), 3u);
  ASSERT_TRUE(os::make_directories(at + "/unified"));
  ASSERT_TRUE(os::write_file_atomically(at + "/unified/cgroup.procs", ""));
  EXPECT_EQ(probe_cgroups(at).layout, HostCgroups::Layout::hybrid);
  ASSERT_TRUE(os::write_file_atomically(at + "/cgroup.controllers", "cpu memory\n"));
  EXPECT_EQ(probe_cgroups(at).layout, HostCgroups::Layout::v2);
  EXPECT_NE(probe_cgroups(at).problem.find("pids"), std::string::npos);
  ASSERT_TRUE(os::write_file_atomically(at + "/cgroup.controllers", "cpuset cpu io memory pids\n"));
  EXPECT_EQ(probe_cgroups(at).problem, "");
  EXPECT_TRUE(os::remove_tree(at));
}

}  // namespace
}  // namespace mayfly::local
