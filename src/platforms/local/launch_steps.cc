#include "platforms/local/launch_steps.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <iterator>

#include "agent/options.h"

namespace mayfly::local {
namespace {

using os::Fd;

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

// cgroup and proc files want their value in one write() to an existing file.
std::string put(const std::string& path, const std::string& value) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), value.data(), value.size()) < 0) return failed("cannot write " + value + " to " + path);
  return "";
}

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

// The agent tells an out-of-memory kill from any other by this file.
Fd open_oom_file(const LauncherSetup& setup, const std::string& slot) {
  for (const auto& root : setup.cgroup_roots) {
    if (!setup.cgroup_v2 && !root.ends_with("memory")) continue;
    const std::string name = setup.cgroup_v2 ? "/memory.events" : "/memory.oom_control";
    if (Fd fd(open((slot_cgroup(setup, root, slot) + name).c_str(), O_RDONLY | O_CLOEXEC)); fd) return fd;
  }
  return Fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
}

// The builder's whole writable space: a tmpfs of the size allowed, seen by nobody but this process and the container.
std::string mount_space(const LauncherSetup& setup, const LaunchOrder& order) {
  const std::string& at = setup.place;
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
  options += ",upperdir=" + setup.place + "/upper,workdir=" + setup.place + "/work";
  if (setup.rootless) options += ",userxattr";
  if (mount("mayfly", (setup.place + "/rootfs").c_str(), "overlay", MS_NODEV, options.c_str()) != 0)
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

std::string bind_agent(const LauncherSetup& setup, const LaunchOrder& order, const Fd& agent, int root) {
  if (auto error = write_inside(setup, root, order.agent_target, "", 0755); !error.empty()) return error;
  const Fd target = open_inside(root, order.agent_target, O_PATH | O_NOFOLLOW);
  const std::string from = "/proc/self/fd/" + std::to_string(agent.get()),
                    to = "/proc/self/fd/" + std::to_string(target.get());
  if (mount(from.c_str(), to.c_str(), nullptr, MS_BIND, nullptr) != 0)
    return failed("cannot put the agent into the builder");
  const Fd bound = open_inside(root, order.agent_target, O_PATH | O_NOFOLLOW);
  if (mount(nullptr, ("/proc/self/fd/" + std::to_string(bound.get())).c_str(), nullptr,
            MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, nullptr) != 0)
    return failed("cannot make the agent read-only");
  return "";
}

std::string fill(const LauncherSetup& setup, const LaunchOrder& order, const Fd& agent) {
  const Fd root(open((setup.place + "/rootfs").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root) return failed("cannot open the builder's root");
  for (const char* path : {"/proc", "/sys", "/dev", "/workspace"})
    if (!directory_inside(setup, root.get(), path, 0755)) return failed(std::string("cannot make ") + path);
  const Fd tmp = directory_inside(setup, root.get(), "/tmp", 01777);
  if (!tmp || fchmod(tmp.get(), 01777) != 0) return failed("cannot make /tmp");
  for (const auto& [path, content] : order.files)
    if (auto error = write_inside(setup, root.get(), path, content, 0644); !error.empty()) return error;
  return bind_agent(setup, order, agent, root.get());
}

// The descriptors as src/agent/options.h numbers them, and nothing but them and the launcher's lock.
std::string arrange_descriptors(const LaunchOrder& order, const Fd& listen_socket, const Fd& oom, const Fd& hold,
                                const Fd& seccomp) {
  Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  Fd errors(open((order.directory + "/stderr").c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!null || !errors) return failed("cannot open the file for the runtime's errors");
  // First out of the way of the numbers they are to have, then into place.
  const int from[] = {null.get(),          errors.get(), errors.get(),
                      listen_socket.get(), oom.get(),    hold ? hold.get() : null.get(),
                      seccomp.get()};
  constexpr int count = std::size(from);
  int high[count];
  for (int i = 0; i < count; ++i)
    if ((high[i] = fcntl(from[i], F_DUPFD_CLOEXEC, 100)) < 0) return failed("cannot duplicate a descriptor");
  null.reset();  // their numbers may be among those to be given, and must not be closed after that
  errors.reset();
  for (int i = 0; i < count; ++i)
    if (dup2(high[i], i) < 0) return failed("cannot duplicate a descriptor");
  return "";
}

std::string exec_runtime(const LauncherSetup& setup, const LaunchOrder& order) {
  const std::string root = setup.directory + "/r", pid_file = order.directory + "/pid";
  const std::string fds = std::to_string(agent::seccomp_fd - 2);  // all from 3 up to it
  std::vector<const char*> argv = {setup.runtime.c_str(), "--root", root.c_str()};
  if (!setup.is_runc) argv.insert(argv.end(), {"--cgroup-manager=disabled"});
  argv.insert(argv.end(), {"run", "--detach", "--preserve-fds", fds.c_str(), "--bundle", setup.place.c_str(),
                           "--pid-file", pid_file.c_str(), order.id.c_str(), nullptr});
  const char* environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", nullptr};
  execve(setup.runtime.c_str(), const_cast<char**>(argv.data()), const_cast<char**>(environment));
  return failed("cannot execute " + setup.runtime);
}

}  // namespace

std::string slot_cgroup(const LauncherSetup& setup, const std::string& root, const std::string& slot_name) {
  return root + setup.cgroup + "/" + slot_name;
}

std::string note(const std::string& path, const std::string& text) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd || write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return failed("cannot write " + path);
  return "";
}

std::string prepare_cgroups(const LauncherSetup& setup, const std::string& name) {
  if (setup.cgroup.empty()) return "";
  for (const auto& root : setup.cgroup_roots) {
    const std::string path = slot_cgroup(setup, root, name);
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return failed("cannot make the cgroup " + path);
    if (setup.is_runc) continue;
    if (auto error = put(path + "/cgroup.procs", "0"); !error.empty()) return error;
  }
  return "";
}

std::string carry_out(const LauncherSetup& setup, const LaunchOrder& order, const std::string& slot, Fd listen_socket,
                      Fd hold) {
  if (auto error = set_limits(setup, order, slot); !setup.cgroup.empty() && !error.empty()) return error;
  const Fd oom = open_oom_file(setup, slot);
  if (unshare(CLONE_NEWNS) != 0) return failed("cannot make a mount namespace");
  // Opened now: the next step may cover the place where they are.
  std::vector<Fd> lowers;
  for (const auto& lower : order.lowers) {
    lowers.emplace_back(open(lower.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!lowers.back()) return failed("cannot open the image's layer " + lower);
  }
  const Fd agent(open(order.agent.c_str(), O_PATH | O_CLOEXEC));
  if (!agent) return failed("cannot open the agent " + order.agent);
  const Fd seccomp(open((setup.directory + "/" + seccomp_file).c_str(), O_RDONLY | O_CLOEXEC));
  if (!seccomp) return failed("cannot open the system call filter in " + setup.directory);
  if (auto error = mount_space(setup, order); !error.empty()) return error;
  if (auto error = mount_overlay(setup, lowers); !error.empty()) return error;
  if (auto error = fill(setup, order, agent); !error.empty()) return error;
  std::string config = order.config;
  replace_all(config, slot_placeholder, slot);
  if (auto error = note(setup.place + "/config.json", config); !error.empty()) return error;
  lowers.clear();
  if (auto error = arrange_descriptors(order, listen_socket, oom, hold, seccomp); !error.empty()) return error;
  return exec_runtime(setup, order);
}

}  // namespace mayfly::local
