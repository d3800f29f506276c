#pragma once
// A container without an image: the runtime's whole work, for a slot. Single-threaded, in the slot's process.
#include <cstdint>
#include <string>

#include "platforms/local/slot.h"

namespace mayfly::local {

struct Process {
  int pid = 0;
  std::uint64_t start = 0;  // process_start_time()
};

struct SlotContainer {
  Process first;       // the agent
  os::Fd mounts, uts;  // its namespaces
};

// The image's root is to be mounted here before it takes the place of the container's own.
inline constexpr const char* new_root = "/new";

// On return the container runs, on an empty root, and this process is in a mount namespace of its own. "" or what
// failed.
std::string start_container(const LauncherSetup& setup, Network kind, const SlotPlace& place, os::Fd listen_socket,
                            JoinedNetwork network, SlotContainer& container);

// Below LauncherSetup::place, in the slot's mount namespace: for what give_root() mounts.
inline constexpr const char* builder_space = "/builder";

// The end of what a failed program said.
std::string tail_of(const std::string& path);

// cgroup and proc files want their value in one write() to an existing file.
std::string put(const std::string& path, const std::string& value);

}  // namespace mayfly::local
