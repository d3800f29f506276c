#pragma once
// What the OCI runtime is told about a builder (config.json), and the files that are made for it. Pure.
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ports/platform.h"

namespace mayfly::local {

// Root's builders: their uid 0 is this one on the host. Above all that useradd gives to users (SUB_UID_MAX) and that
// systemd uses: a user owning the same ids could signal root's builders from a namespace of their own.
inline constexpr std::uint32_t mapped_uid = 1'900'000'000, mapped_ids = 65'536;

struct ContainerShape {
  bool map_users = true;  // a user namespace of its own, uid 0 being first_uid outside
  std::uint32_t first_uid = 0, first_gid = 0, ids = 0;
  bool root_apart = false;  // rootless: uid 0 and the others are two ranges outside, and no mapping may span both
  bool has_oom_file = false;
  std::string cgroups_path;  // for runc, which moves its own child; empty: the container stays where it is started
  std::uint64_t open_files = 1024;  // never more than the host's: without CAP_SYS_RESOURCE nobody may raise it
};

// What a job may have at most: Docker's default set without NET_RAW (forging packets), MKNOD and AUDIT_WRITE.
inline constexpr std::array job_capabilities = {"CAP_CHOWN",   "CAP_DAC_OVERRIDE",     "CAP_FOWNER",    "CAP_FSETID",
                                                "CAP_KILL",    "CAP_SETGID",           "CAP_SETUID",    "CAP_SETPCAP",
                                                "CAP_SETFCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT"};

// The same for every builder with this network: its name, limits and image come later.
std::string container_config(Network network, const ContainerShape& shape);

// /etc/hosts, /etc/hostname and /etc/resolv.conf fit for the builder's network.
std::vector<std::pair<std::string, std::string>> container_files(const BuilderRequest& request,
                                                                 const std::string& host_resolv_conf);

}  // namespace mayfly::local
