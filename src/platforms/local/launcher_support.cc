#include "platforms/local/launcher_support.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

namespace mayfly::local {
namespace {

using os::Fd;

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

bool put(const std::string& path, const std::string& value) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && write(fd.get(), value.data(), value.size()) == static_cast<ssize_t>(value.size());
}

}  // namespace

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> names;
  DIR* dir = opendir(directory.c_str());
  if (!dir) return names;
  while (const dirent* entry = readdir(dir))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  closedir(dir);
  return names;
}

std::string enter_user_namespace(const LauncherSetup& setup) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return failed("cannot make a pipe");
  Fd read_end(ends[0]), write_end(ends[1]);
  const auto n = [](std::uint64_t number) { return std::to_string(number); };
  const std::string pid = n(static_cast<std::uint64_t>(getpid()));
  const std::string map_uids =
      "newuidmap " + pid + " 0 " + n(setup.host_uid) + " 1 1 " + n(setup.sub_uid) + " " + n(setup.sub_count);
  const std::string map_gids =
      "newgidmap " + pid + " 0 " + n(setup.host_gid) + " 1 1 " + n(setup.sub_gid) + " " + n(setup.sub_count);
  // The mapping programs are setuid: they must be started from outside the namespace that they map.
  const pid_t helper = fork();
  if (helper < 0) return failed("cannot fork");
  if (helper == 0) {
    write_end.reset();
    char byte;
    (void)!read(read_end.get(), &byte, 1);
    execl("/bin/sh", "sh", "-c", (map_uids + " && " + map_gids).c_str(), nullptr);
    _exit(127);
  }
  const int unshared = unshare(CLONE_NEWUSER);
  const int error = errno;
  write_end.reset();
  int status = 0;
  waitpid(helper, &status, 0);
  errno = error;
  if (unshared != 0) return failed("this host allows an ordinary user no user namespace");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return "newuidmap or newgidmap failed; are they installed (uidmap), and has this user subordinate ids in "
           "/etc/subuid and /etc/subgid?";
  if (setresgid(0, 0, 0) != 0 || setresuid(0, 0, 0) != 0) return failed("cannot become root of the user namespace");
  return "";
}

std::string private_mounts(const LauncherSetup& setup) {
  if (unshare(CLONE_NEWNS) != 0) return failed("this host allows no mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return failed("cannot make the mounts private");
  // Mounts from a more privileged namespace cannot be taken away, only covered.
  if (setup.hide_unified && setup.rootless &&
      mount("mayfly", "/sys/fs/cgroup/unified", "tmpfs", MS_RDONLY, "size=4k") != 0)
    return failed("cannot cover /sys/fs/cgroup/unified");
  if (setup.hide_unified && !setup.rootless && umount2("/sys/fs/cgroup/unified", MNT_DETACH) != 0)
    return failed("cannot hide /sys/fs/cgroup/unified");
  return "";
}

std::string share_lowers(const LauncherSetup& setup) {
  const std::string at = setup.directory + "/l";
  if (mount(at.c_str(), at.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
      mount(nullptr, at.c_str(), nullptr, MS_SHARED, nullptr) != 0)
    return failed("cannot share the mounts below " + at);
  return "";
}

std::string make_parent_cgroups(const LauncherSetup& setup) {
  for (const auto& root : setup.cgroup_roots) {
    if (setup.cgroup_v2)
      put(root + "/cgroup.subtree_control", "+cpu +memory +pids");  // fails where already decided above us
    const std::string path = root + setup.cgroup;
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return failed("cannot make the cgroup " + path);
    if (setup.cgroup_v2 && !put(path + "/cgroup.subtree_control", "+cpu +memory +pids"))
      return failed("cannot pass the controllers cpu, memory and pids on to " + path);
  }
  return "";
}

bool kill_and_remove_cgroup(const std::string& path, int patience_ms) {
  for (int waited = 0;; ++waited) {
    for (const auto& name : names_in(path)) {  // a runtime or a job may have made groups below
      struct stat st{};
      if (stat((path + "/" + name).c_str(), &st) == 0 && S_ISDIR(st.st_mode))
        kill_and_remove_cgroup(path + "/" + name, patience_ms);
    }
    if (rmdir(path.c_str()) == 0 || errno == ENOENT) return true;
    if (waited >= patience_ms) return false;
    if (!put(path + "/cgroup.kill", "1")) {
      std::istringstream pids(os::read_file(path + "/cgroup.procs", 4u << 20).value_or(""));
      for (int pid = 0; pids >> pid;)
        if (pid > 1) kill(pid, SIGKILL);
    }
    usleep(1000);  // the kernel removes the dead from a cgroup a moment after they died, and tells nobody
  }
}

bool map_users(const LauncherSetup& setup, pid_t pid) {
  const auto map = [&setup](std::uint32_t first) {
    const auto line = [](std::uint32_t inside, std::uint32_t outside, std::uint32_t count) {
      return std::to_string(inside) + " " + std::to_string(outside) + " " + std::to_string(count) + "\n";
    };
    // Rootless: uid 0 and the others are two ranges outside, and no mapping may span both.
    return setup.rootless ? line(0, first, 1) + line(1, first + 1, setup.ids - 1) : line(0, first, setup.ids);
  };
  const std::string proc = "/proc/" + std::to_string(pid);
  return put(proc + "/uid_map", map(setup.first_uid)) && put(proc + "/gid_map", map(setup.first_gid));
}

Fd make_user_namespace(const LauncherSetup& setup) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Fd();
  Fd read_end(ends[0]), write_end(ends[1]);
  const pid_t pid = static_cast<pid_t>(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (pid == 0) {
    write_end.reset();
    char byte;
    (void)!read(read_end.get(), &byte, 1);
    _exit(0);
  }
  if (pid < 0) return Fd();
  const bool mapped = map_users(setup, pid);
  const int error = errno;
  Fd ns(mapped ? open(("/proc/" + std::to_string(pid) + "/ns/user").c_str(), O_RDONLY | O_CLOEXEC) : -1);
  write_end.reset();
  waitpid(pid, nullptr, 0);
  errno = error;
  return ns;
}

std::string mount_idmapped(const std::string& source, const std::string& at, int user_namespace) {
  const Fd tree(
      static_cast<int>(syscall(SYS_open_tree, AT_FDCWD, source.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  if (!tree) return failed("cannot open the image's layer " + source);
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NODEV;
  attributes.userns_fd = static_cast<std::uint64_t>(user_namespace);
  if (syscall(SYS_mount_setattr, tree.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
    return failed(
        "the file system of " + source +
        " cannot be mounted with shifted owners (idmapped mounts need Linux 5.12 and, e.g., ext4, xfs or btrfs)");
  if (syscall(SYS_move_mount, tree.get(), "", AT_FDCWD, at.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return failed("cannot mount the layer at " + at);
  return "";
}

}  // namespace mayfly::local
