#pragma once
// The steps between an order and a running builder, inside the launcher's child for it. Each returns "" or what failed.
// Single-threaded, in a process that ends (by exec of the runtime, or by reporting an error) right after.
#include <string>

#include "platforms/local/launch_order.h"

namespace mayfly::local {

// Before an order is there: limits' cgroups made and entered, since entering waits for the kernel (an RCU grace
// period). `name` is the slot's; runc moves its own child, so for it the cgroups are made only.
std::string prepare_cgroups(const LauncherSetup& setup, const std::string& name);

// Everything up to and including exec of the runtime; returns only on failure, with what failed.
std::string carry_out(const LauncherSetup& setup, const LaunchOrder& order, const std::string& slot_name,
                      os::Fd listen_socket, os::Fd hold);

// Path of a slot's cgroup in one hierarchy.
std::string slot_cgroup(const LauncherSetup& setup, const std::string& root, const std::string& slot_name);

// A file in a builder's directory, for whoever comes after a crash. Small, rewritten whole.
std::string note(const std::string& path, const std::string& text);

}  // namespace mayfly::local
