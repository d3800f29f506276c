#include "platforms/local/host_probe.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "base/text.h"
#include "os/file.h"
#include "os/process.h"
#include "platforms/local/host_cgroups.h"
#include "platforms/local/launcher_support.h"
#include "platforms/local/local.h"
#include "platforms/local/seccomp.h"

namespace mayfly::local {
namespace {

using Status = HostCheck::Status;
constexpr std::int64_t comfortable_disk = 1LL << 30;

// The errno with which `attempt` fails in a process of its own, 0 if it works.
int in_child(const std::function<bool()>& attempt) {
  const pid_t pid = fork();
  if (pid == 0) _exit(attempt() ? 0 : (errno ? errno : EIO));
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) return errno;
  return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

HostCheck verdict(const std::string& name, int error, const std::string& good, const std::string& advice,
                  Status bad = Status::missing) {
  if (error == 0) return {Status::ok, name, good, ""};
  return {bad, name, std::strerror(error), advice};
}

HostCheck namespaces_check() {
  const bool root = geteuid() == 0;
  const int error = in_child([root] {
    return unshare((root ? 0 : CLONE_NEWUSER) | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS |
                   CLONE_NEWNET) == 0;
  });
  return verdict("namespaces", error, "pid, mount, ipc, uts and network namespaces can be made",
                 root ? "Allow this machine (or the container around it) CAP_SYS_ADMIN and the unshare system call"
                      : "Set the sysctl kernel.unprivileged_userns_clone=1");
}

HostCheck user_namespaces_check() {
  const int error = in_child([] { return unshare(CLONE_NEWUSER) == 0; });
  return verdict("user namespaces", error, "can be made", "Set the sysctl user.max_user_namespaces to at least 10000");
}

// In a child only. Without a mapping of its own id it could make no file.
bool become_root_of_a_namespace() {
  const std::string uid = "0 " + std::to_string(geteuid()) + " 1", gid = "0 " + std::to_string(getegid()) + " 1";
  const auto put = [](const char* path, const std::string& value) {
    const os::Fd fd(open(path, O_WRONLY | O_CLOEXEC));
    return fd && write(fd.get(), value.data(), value.size()) > 0;
  };
  return unshare(CLONE_NEWUSER) == 0 && put("/proc/self/uid_map", uid) && put("/proc/self/setgroups", "deny") &&
         put("/proc/self/gid_map", gid);
}

HostCheck mounts_check(bool overlay) {
  const int error = in_child([overlay] {
    const bool root = geteuid() == 0;
    if (!root && !become_root_of_a_namespace()) return false;
    if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return false;
    if (mount("mayfly", "/tmp", "tmpfs", 0, nullptr) != 0) return false;
    if (!overlay) return true;
    for (const char* name : {"/tmp/l", "/tmp/u", "/tmp/w", "/tmp/m"})
      if (mkdir(name, 0755) != 0) return false;
    return mount("mayfly", "/tmp/m", "overlay", 0,
                 root ? "lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w"
                      : "lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w,userxattr") == 0;
  });
  if (overlay)
    return verdict("overlay", error, "overlay file systems can be mounted on a tmpfs",
                   "Load the kernel module `overlay` (Linux 5.11 or newer for ordinary users)");
  return verdict("mounts", error, "file systems can be mounted in a mount namespace",
                 "Allow this machine (or the container around it) to mount: CAP_SYS_ADMIN, and no seccomp or AppArmor "
                 "profile against mount");
}

HostCheck idmap_check(const std::string& directory) {
  if (geteuid() != 0) return {Status::ok, "idmapped mounts", "not needed by an ordinary user", ""};
  std::string at = directory;
  while (at.size() > 1 && access(at.c_str(), F_OK) != 0) at = at.substr(0, std::max<std::size_t>(at.rfind('/'), 1));
  LauncherSetup setup;
  setup.first_uid = setup.first_gid = mapped_uid;
  setup.ids = mapped_ids;
  const os::Fd mapping = make_user_namespace(setup);
  const int error = in_child([&] {
    return unshare(CLONE_NEWNS) == 0 && mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           mount_idmapped(at, "/mnt", mapping.get()).empty();
  });
  return verdict("idmapped mounts", error, "work on the file system of " + at,
                 "Use Linux 5.12 or newer and keep images on ext4, xfs or btrfs");
}

HostCheck cgroups_check(const HostCgroups& cgroups) {
  static const char* const names[] = {"no cgroups", "cgroup v1", "cgroup v2", "cgroup v1 and v2 (hybrid)"};
  const std::string layout = names[static_cast<int>(cgroups.layout)];
  if (cgroups.problem.empty()) return {Status::ok, "cgroups", layout + ", with memory, cpu and pids", ""};
  return {Status::warning, "cgroups",
          layout + "; " + cgroups.problem + ", so limits on memory, cpu and processes are not enforced",
          geteuid() == 0 ? "Mount the missing controllers"
                         : "Delegate them: systemctl edit user@.service, [Service] Delegate=cpu memory pids"};
}

HostCheck program_check(const std::string& name, const std::string& package, const std::string& purpose,
                        Status absent) {
  const std::string path = os::find_program(name);
  if (path.empty()) return {absent, name, "not installed; needed " + purpose, "apt-get install " + package};
  const auto done = os::run({.argv = {path, "--version"}, .deadline = after(seconds(5))});
  std::string version = done ? std::string(trim(done->out.substr(0, done->out.find('\n')))) : done.error().text();
  return {Status::ok, name, version.empty() ? path : version, ""};
}

HostCheck runtime_check(const std::string& wanted, const HostCgroups& cgroups) {
  const bool crun = !os::find_program("crun").empty(), runc = !os::find_program("runc").empty();
  const bool chosen_crun = wanted == "crun" || (wanted == "auto" && crun);
  if (wanted == "auto" ? !crun && !runc : !(wanted == "crun" ? crun : runc))
    return {Status::missing, "runtime",
            (wanted == "auto" ? "neither crun nor runc" : wanted + " not") + std::string(" installed"),
            "apt-get install " + (wanted == "auto" ? "crun" : wanted)};
  std::string why = wanted != "auto" ? "as configured" : chosen_crun ? "the faster one" : "crun is not installed";
  if (chosen_crun && cgroups.layout == HostCgroups::Layout::hybrid)
    why += "; started without /sys/fs/cgroup/unified, since crun refuses hybrid hosts";
  return {Status::ok, "runtime", std::string(chosen_crun ? "crun" : "runc") + " (" + why + ")", ""};
}

HostCheck subuid_check() {
  if (geteuid() == 0)
    return {Status::ok, "subordinate ids",
            "not needed by root: builders use " + std::to_string(mapped_uid) + " and the next 65535", ""};
  const char* user = getenv("USER");
  const std::string name = user ? user : std::to_string(geteuid());
  for (const char* file : {"/etc/subuid", "/etc/subgid"}) {
    const std::string text = "\n" + os::read_file(file, 1u << 20).value_or("");
    if (text.find("\n" + name + ":") == std::string::npos &&
        text.find("\n" + std::to_string(geteuid()) + ":") == std::string::npos)
      return {Status::missing, "subordinate ids", name + " has none in " + file,
              "As root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " + name};
  }
  return {Status::ok, "subordinate ids", "granted", ""};
}

HostCheck seccomp_check() {
  const auto filter = compile_seccomp_filter();
  if (!filter) return {Status::missing, "seccomp", filter.error().text(), filter.error().next};
  if (filter->origin == "built-in")
    return {Status::warning, "seccomp", "only the built-in deny list: there is no " + std::string(default_profile),
            "apt-get install golang-github-containers-common"};
  return {Status::ok, "seccomp", "filter from " + filter->origin, ""};
}

HostCheck disk_check(const std::string& directory) {
  std::string at = directory;
  while (at.size() > 1 && access(at.c_str(), F_OK) != 0) at = at.substr(0, std::max<std::size_t>(at.rfind('/'), 1));
  const auto space = os::disk_space(at);
  if (!space) return {Status::missing, "disk", space.error().text(), "Choose another state directory"};
  const std::string found = format_bytes(space->free) + " free at " + at;
  if (space->free < comfortable_disk) return {Status::warning, "disk", found, "Free some: logs and images need it"};
  return {Status::ok, "disk", found, ""};
}

// The daemon's own socket lies in it, and clients connect by its path.
HostCheck length_check(const std::string& directory) {
  constexpr std::size_t longest = 107 - std::string_view("/mayfly.sock").size();
  if (directory.size() <= longest) return {Status::ok, "state directory", directory, ""};
  return {Status::missing, "state directory",
          directory + " is " + std::to_string(directory.size() - longest) + " characters too long for the socket in it",
          "Choose a shorter path with --state"};
}

}  // namespace

HostReport probe_host(const std::string& directory, const std::string& runtime) {
  utsname system{};
  uname(&system);
  const HostCgroups cgroups = probe_cgroups();
  HostReport report;
  report.checks = {
      {Status::ok, "kernel", std::string(system.sysname) + " " + system.release, ""},
      namespaces_check(),
      user_namespaces_check(),
      mounts_check(false),
      mounts_check(true),
      idmap_check(directory),
      cgroups_check(cgroups),
      runtime_check(runtime, cgroups),
      program_check("crun", "crun", "to start containers", Status::warning),
      program_check("runc", "runc", "where crun does not do", Status::warning),
      program_check("buildah", "buildah", "to build images and to find those that are stored", Status::missing),
      program_check("skopeo", "skopeo", "to fetch images", Status::missing),
      program_check("slirp4netns", "slirp4netns", "for `network: egress`", Status::warning),
      subuid_check(),
      seccomp_check(),
      disk_check(directory),
      length_check(directory)};
  for (const auto& check : report.checks) {
    const bool kernel = check.name == "namespaces" || check.name == "user namespaces" || check.name == "mounts" ||
                        check.name == "overlay";
    if (!kernel || check.status != Status::missing || !report.obstacle.empty()) continue;
    report.obstacle = "This host allows no containers: " + check.name + ": " + check.found + ". " + check.advice + ".";
  }
  return report;
}

}  // namespace mayfly::local
