#include "platforms/local/builder_root.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "ports/platform.h"

namespace mayfly::local {
namespace {

using os::Fd;

constexpr const char* own_mounts[] = {"proc", "sys", "dev"};  // the container's, made by the runtime; they move along

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

std::string set_limits(const LauncherSetup& setup, const LaunchOrder& order, const std::string& slot) {
  const auto set = [&](const char* v1_root, const std::string& name, const std::string& value,
                       bool optional = false) -> std::string {
    for (const auto& root : setup.cgroup_roots) {
      if (!setup.cgroup_v2 && !root.ends_with(v1_root)) continue;
      const std::string path = slot_cgroup(setup, root, slot) + "/" + name;
      if (optional && access(path.c_str(), W_OK) != 0) return "";
      return put(path, value);
    }
    return "";
  };
  const std::string memory = std::to_string(order.memory), pids = std::to_string(order.pids);
  std::string error;
  if (order.memory > 0) {
    error = setup.cgroup_v2 ? set("", "memory.max", memory) : set("memory", "memory.limit_in_bytes", memory);
    // Without this a job would swap instead of meeting its limit. Hosts without swap accounting lack the file.
    if (error.empty())
      error = setup.cgroup_v2 ? set("", "memory.swap.max", "0", true)
                              : set("memory", "memory.memsw.limit_in_bytes", memory, true);
  }
  if (error.empty() && order.pids > 0) error = set("pids", "pids.max", pids);
  if (error.empty() && order.cpu_micros > 0)
    error = setup.cgroup_v2 ? set("", "cpu.max", std::to_string(order.cpu_micros) + " 100000")
                            : set("cpu", "cpu.cfs_quota_us", std::to_string(order.cpu_micros));
  return error;
}

// The builder's whole writable space: a tmpfs of the size allowed, seen by nobody but this process and the container.
std::string mount_space(const LauncherSetup& setup, const LaunchOrder& order) {
  const std::string at = setup.place + builder_space;
  const std::string options = "size=" + std::to_string(order.disk) + ",mode=0755";
  if (mount("mayfly", at.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, options.c_str()) != 0)
    return failed("cannot mount the workspace");
  for (const char* name : {"/upper", "/work", "/rootfs"})
    if (mkdir((at + name).c_str(), 0755) != 0) return failed(std::string("cannot make ") + name);
  if (chown((at + "/upper").c_str(), setup.first_uid, setup.first_gid) != 0)
    return failed("cannot chown the workspace");
  return "";
}

std::string mount_overlay(const LauncherSetup& setup, const std::vector<Fd>& lowers) {
  std::string options = "lowerdir=";
  for (std::size_t i = 0; i < lowers.size(); ++i)
    options += (i ? ":/proc/self/fd/" : "/proc/self/fd/") + std::to_string(lowers[i].get());
  const std::string at = setup.place + builder_space;
  options += ",upperdir=" + at + "/upper,workdir=" + at + "/work";
  if (setup.rootless) options += ",userxattr";
  if (mount("mayfly", (at + "/rootfs").c_str(), "overlay", MS_NODEV, options.c_str()) != 0)
    return failed("cannot mount the image's layers as an overlay");
  return "";
}

// Paths inside the image are the image's: a link in it must never lead out of it, so every step is resolved inside
// root.
Fd open_inside(int root, const std::string& path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  return Fd(static_cast<int>(syscall(SYS_openat2, root, path.c_str(), &how, sizeof how)));
}

// The directory, made if missing (with all above it), as the builder's root owns it.
Fd directory_inside(const LauncherSetup& setup, int root, const std::string& path, mode_t mode) {
  if (Fd found = open_inside(root, path, O_RDONLY | O_DIRECTORY); found || errno != ENOENT) return found;
  const auto slash = path.rfind('/');
  Fd parent = slash == 0 ? open_inside(root, "/", O_RDONLY | O_DIRECTORY)
                         : directory_inside(setup, root, path.substr(0, slash), 0755);
  if (!parent) return parent;
  const std::string name = path.substr(slash + 1);
  if (mkdirat(parent.get(), name.c_str(), mode) != 0) return Fd();
  Fd made(openat(parent.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (made && (fchown(made.get(), setup.first_uid, setup.first_gid) != 0 || fchmod(made.get(), mode) != 0)) return Fd();
  return made;
}

std::string write_inside(const LauncherSetup& setup, int root, const std::string& path, const std::string& content,
                         mode_t mode) {
  const auto slash = path.rfind('/');
  const Fd parent = directory_inside(setup, root, slash == 0 ? "/" : path.substr(0, slash), 0755);
  if (!parent) return failed("cannot make the directory of " + path);
  const std::string name = path.substr(slash + 1);
  unlinkat(parent.get(), name.c_str(), 0);  // often a link to somewhere else
  const Fd file(openat(parent.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!file || write(file.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size()) ||
      fchown(file.get(), setup.first_uid, setup.first_gid) != 0)
    return failed("cannot write " + path);
  return "";
}

std::string fill(const LauncherSetup& setup, const LaunchOrder& order, int root) {
  for (const char* name : own_mounts)
    if (!directory_inside(setup, root, std::string("/") + name, 0755))
      return failed(std::string("cannot make /") + name);
  if (!directory_inside(setup, root, "/workspace", 0755)) return failed("cannot make /workspace");
  const Fd tmp = directory_inside(setup, root, "/tmp", 01777);
  if (!tmp || fchmod(tmp.get(), 01777) != 0) return failed("cannot make /tmp");
  for (const auto& [path, content] : order.files)
    if (auto error = write_inside(setup, root, path, content, 0644); !error.empty()) return error;
  return "";
}

// The host's directory, read-only in the builder.
std::string bind_shared(const LauncherSetup& setup, int root, const Fd& shared) {
  const auto path_of = [](const Fd& fd) { return "/proc/self/fd/" + std::to_string(fd.get()); };
  const std::string where = layers_in_builder;
  const Fd below = directory_inside(setup, root, where, 0755);
  if (!below) return failed("cannot make " + where);
  if (mount(path_of(shared).c_str(), path_of(below).c_str(), nullptr, MS_BIND, nullptr) != 0)
    return failed("cannot bind " + where);
  const Fd bound = open_inside(root, where, O_PATH | O_DIRECTORY);  // what is mounted there now
  struct statvfs is {};
  if (!bound || fstatvfs(bound.get(), &is) != 0) return failed("cannot open " + where);
  // In a user namespace it must stay as restricted as it is.
  const unsigned long flags = MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV;
  if (mount(nullptr, path_of(bound).c_str(), nullptr, flags | (is.f_flag & ST_NOEXEC ? MS_NOEXEC : 0), nullptr) != 0)
    return failed("cannot make " + where + " read-only");
  return "";
}

// The image's layers below the builder's own, filled with what every builder has; a mount that is nowhere yet.
std::string make_root(const LauncherSetup& setup, const LaunchOrder& order, Fd& tree) {
  std::vector<Fd> lowers;
  for (const auto& lower : order.lowers) {
    lowers.emplace_back(open(lower.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!lowers.back()) return failed("cannot open the image's layer " + lower);
  }
  Fd shared;
  if (!order.shared.empty()) shared.reset(open(order.shared.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!order.shared.empty() && !shared) return failed("cannot open the layers of released images in " + order.shared);
  if (auto error = mount_space(setup, order); !error.empty()) return error;
  if (auto error = mount_overlay(setup, lowers); !error.empty()) return error;
  const std::string at = setup.place + builder_space + "/rootfs";
  const Fd root(open(at.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return failed("cannot open the builder's root");
  if (auto error = fill(setup, order, root.get()); !error.empty()) return error;
  if (shared)
    if (auto error = bind_shared(setup, root.get(), shared); !error.empty()) return error;
  const unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
  tree.reset(static_cast<int>(syscall(SYS_open_tree, AT_FDCWD, at.c_str(), flags)));
  return tree ? "" : failed("cannot take the builder's root");
}

std::string move_own_mounts(const Fd& root) {
  for (const char* name : own_mounts) {
    const std::string from = std::string("/") + name;
    // The image's: where it is a link, nothing is to be mounted over what it leads to.
    const Fd to = open_inside(root.get(), name, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    if (!to) return failed("the image's " + from + " is not a directory");
    if (syscall(SYS_move_mount, AT_FDCWD, from.c_str(), to.get(), "", MOVE_MOUNT_T_EMPTY_PATH) != 0)
      return failed("cannot move the container's " + from);
  }
  return "";
}

std::string change_root(const SlotContainer& container, const Fd& tree) {
  if (setns(container.mounts.get(), CLONE_NEWNS) != 0) return failed("cannot enter the container");
  if (syscall(SYS_move_mount, tree.get(), "", AT_FDCWD, new_root, MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return failed("cannot mount the image in the container");
  const Fd root(open(new_root, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return failed("cannot open the image in the container");
  if (auto error = move_own_mounts(root); !error.empty()) return error;
  // With both names the same, the old root ends up on top of the new one, and goes from there.
  if (fchdir(root.get()) != 0 || syscall(SYS_pivot_root, ".", ".") != 0 || umount2(".", MNT_DETACH) != 0)
    return failed("cannot make the image the container's root");
  return "";
}

}  // namespace

std::string give_root(const LauncherSetup& setup, const LaunchOrder& order, const std::string& slot,
                      const SlotContainer& container) {
  if (auto error = set_limits(setup, order, slot); !setup.cgroup.empty() && !error.empty()) return error;
  Fd tree;
  if (auto error = make_root(setup, order, tree); !error.empty()) return error;
  if (setns(container.uts.get(), CLONE_NEWUTS) != 0 || sethostname(order.id.data(), order.id.size()) != 0)
    return failed("cannot name the container");
  return change_root(container, tree);
}

}  // namespace mayfly::local
