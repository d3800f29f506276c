#pragma once
// What makes a waiting container a builder: limits, its name, and the image as its root. In the slot's process, which
// has been in a mount namespace of its own since the container was made, and ends right after.
#include <string>

#include "platforms/local/slot_container.h"

namespace mayfly::local {

// "" or what failed. On success this process is in the container's mount namespace.
//
// The image's root takes the place of the container's by pivot_root(2), called from outside: the kernel moves every
// process of the mount namespace along, so the agent needs no privilege for it.
std::string give_root(const LauncherSetup& setup, const LaunchOrder& order, const std::string& slot,
                      const SlotContainer& container);

}  // namespace mayfly::local
