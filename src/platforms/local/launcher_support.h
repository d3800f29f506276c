#pragma once
// What the launcher asks of the kernel, away from its loop.
#include <sys/types.h>

#include <string>
#include <vector>

#include "platforms/local/launch_order.h"

namespace mayfly::local {

std::vector<std::string> names_in(
    const std::string& directory);  // sorted as the kernel gives them; empty if it is not there

// Rootless: makes this process root of a user namespace, with the user's subordinate ids by newuidmap and newgidmap.
std::string enter_user_namespace(const LauncherSetup& setup);

// A mount namespace of this process's own, from which nothing spreads; without the unified hierarchy if it is to be
// hidden.
std::string private_mounts(const LauncherSetup& setup);
// Layers mounted from now on in <platform>/l are seen by the mount namespaces of slots made before, too.
std::string share_lowers(const LauncherSetup& setup);
std::string make_parent_cgroups(const LauncherSetup& setup);

// Kills what is in it, waits (bounded) until it is empty, removes it. True when it is gone.
bool kill_and_remove_cgroup(const std::string& path, int patience_ms);

// Gives the builders' mapping to the new user namespace of process `pid`. False, with errno: it cannot.
bool map_users(const LauncherSetup& setup, pid_t pid);

// A user namespace with the builders' mapping, held by its descriptor.
os::Fd make_user_namespace(const LauncherSetup& setup);
std::string mount_idmapped(const std::string& source, const std::string& at, int user_namespace);

}  // namespace mayfly::local
