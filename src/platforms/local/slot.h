#pragma once
// A slot: a child of the launcher that makes a container before anybody asked for one, and then waits. All that takes
// the runtime its time (its own start, namespaces, the masked /proc, the agent's start) is done by then. An order gives
// the container its limits, its name and the image as its root; that takes about a millisecond. Then the slot ends,
// and the launcher, which inherits the container's first process, reaps it.
//
// What a slot makes lies in a directory of its own, <platform>/s/NAME, which becomes the builder's by one rename.
#include <sys/types.h>

#include <string>

#include "platforms/local/launch_order.h"

namespace mayfly::local {

struct SlotPlace {
  std::string name;       // also the container's name for the runtime, and its cgroups'
  std::string directory;  // with the files below
};

// In a slot's directory, and so in the builder's.
inline constexpr const char* slot_note = "/slot";        // its name
inline constexpr const char* slot_process = "/process";  // "PID START" of the container's first process
inline constexpr const char* slot_alive = "/alive";      // the same, under this name once it is a builder
inline constexpr const char* slot_errors = "/stderr";    // of runtime and agent
inline constexpr const char* agent_socket = "/agent";    // the agent listens there

std::string slots_directory(const LauncherSetup& setup);
// Path of a slot's cgroup in one hierarchy.
std::string slot_cgroup(const LauncherSetup& setup, const std::string& root, const std::string& name);

// A file in a builder's or slot's directory, for whoever comes after a crash. Small, rewritten whole.
std::string note(const std::string& path, const std::string& text);

// What a slot joins instead of a network of its own.
struct JoinedNetwork {
  pid_t holder = -1;  // of the namespaces
  os::Fd hold;        // for the agent
};

// The life of the slot's process. By `socket` it says "ready" or what failed, takes one order, and says what failed of
// that. It ends with 0 once the builder stands. When the launcher's end closes, the container goes with it.
[[noreturn]] void be_slot(const LauncherSetup& setup, Network kind, const SlotPlace& place, os::Fd socket,
                          JoinedNetwork network);

inline constexpr const char* slot_ready = "ready";

}  // namespace mayfly::local
