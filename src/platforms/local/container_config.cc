#include "platforms/local/container_config.h"

#include <boost/json.hpp>

#include "agent/options.h"
#include "platforms/local/launch_order.h"

namespace mayfly::local {
namespace {

namespace json = boost::json;

json::array strings(std::initializer_list<const char*> list) {
  json::array result;
  for (const char* s : list) result.emplace_back(s);
  return result;
}

json::object mount(const char* destination, const char* type, const char* source,
                   std::initializer_list<const char*> options) {
  return {{"destination", destination}, {"type", type}, {"source", source}, {"options", strings(options)}};
}

json::array mounts(Network network) {
  json::array all{
      mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts", {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
  };
  // A sysfs shows a network namespace, and only who owns that one may mount it: with the host's, the host's is bound.
  if (network == Network::host)
    all.push_back(mount("/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"}));
  else
    all.push_back(mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}));
  return all;
}

json::object capabilities() {
  json::array set;
  for (const char* name : job_capabilities) set.emplace_back(name);
  return {{"bounding", set}, {"effective", set}, {"permitted", set}};
}

json::object process(Network network, const ContainerShape& shape) {
  json::array argv{agent::agent_path, agent::listen_fd_flag, std::to_string(agent::listen_fd)};
  const auto flag = [&argv](const char* name, const std::string& value) {
    argv.insert(argv.end(), {json::value(name), json::value(value)});
  };
  if (shape.has_oom_file) flag(agent::oom_fd_flag, std::to_string(agent::oom_fd));
  if (network == Network::egress) flag(agent::hold_fd_flag, std::to_string(agent::hold_fd));
  flag(agent::seccomp_fd_flag, std::to_string(agent::seccomp_fd));
  flag(agent::orphan_grace_flag, std::to_string(agent::default_orphan_grace_ms));
  return {{"user", {{"uid", 0}, {"gid", 0}}},
          {"args", argv},
          {"env", strings({"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"})},
          {"cwd", "/"},
          {"capabilities", capabilities()},
          {"rlimits", json::array{{{"type", "RLIMIT_NOFILE"}, {"hard", shape.open_files}, {"soft", shape.open_files}}}},
          {"noNewPrivileges", true}};
}

json::array mapping(std::uint32_t first, const ContainerShape& shape) {
  if (!shape.root_apart) return {{{"containerID", 0}, {"hostID", first}, {"size", shape.ids}}};
  return {{{"containerID", 0}, {"hostID", first}, {"size", 1}},
          {{"containerID", 1}, {"hostID", first + 1}, {"size", shape.ids - 1}}};
}

json::object linux_part(Network network, const ContainerShape& shape) {
  json::array namespaces;
  for (const char* type : {"pid", "mount", "ipc", "uts", "cgroup"}) namespaces.push_back({{"type", type}});
  const bool joins = network == Network::egress;
  const auto path = [](const char* type) { return std::string(network_placeholder) + "/ns/" + type; };
  if (joins) namespaces.push_back({{"type", "network"}, {"path", path("net")}});
  if (network == Network::none) namespaces.push_back({{"type", "network"}});
  json::object part;
  if (shape.map_users) {
    if (joins)
      namespaces.push_back({{"type", "user"}, {"path", path("user")}});
    else
      namespaces.push_back({{"type", "user"}});
    part["uidMappings"] = mapping(shape.first_uid, shape);
    part["gidMappings"] = mapping(shape.first_gid, shape);
  }
  part["namespaces"] = std::move(namespaces);
  part["maskedPaths"] = strings({"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                                 "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
                                 "/sys/firmware", "/sys/devices/virtual/powercap"});
  part["readonlyPaths"] = strings({"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"});
  if (!shape.cgroups_path.empty()) part["cgroupsPath"] = shape.cgroups_path;
  return part;
}

}  // namespace

std::string container_config(Network network, const ContainerShape& shape) {
  return json::serialize(json::object{{"ociVersion", "1.0.2"},
                                      {"process", process(network, shape)},
                                      {"root", {{"path", "rootfs"}, {"readonly", false}}},  // until the image comes
                                      {"mounts", mounts(network)},
                                      {"linux", linux_part(network, shape)}});
}

std::vector<std::pair<std::string, std::string>> container_files(const BuilderRequest& request,
                                                                 const std::string& host_resolv_conf) {
  std::string resolv;
  if (request.network == Network::host) resolv = host_resolv_conf;
  if (request.network == Network::egress) resolv = "nameserver 10.0.2.3\n";  // slirp4netns answers there
  return {{"/etc/hosts",
           "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t" + request.id + "\n"},
          {"/etc/hostname", request.id + "\n"},
          {"/etc/resolv.conf", resolv}};
}

}  // namespace mayfly::local
