#include "platforms/local/slot_container.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <vector>

#include "agent/options.h"

namespace mayfly::local {
namespace {

using os::Fd;

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

// Before the container: entering a cgroup waits for the kernel (an RCU grace period). runc moves its own child, so for
// it they are made only.
std::string enter_cgroups(const LauncherSetup& setup, const std::string& name) {
  if (setup.cgroup.empty()) return "";
  for (const auto& root : setup.cgroup_roots) {
    const std::string path = slot_cgroup(setup, root, name);
    if (mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) return failed("cannot make the cgroup " + path);
    if (setup.is_runc) continue;
    if (auto error = put(path + "/cgroup.procs", "0"); !error.empty()) return error;
  }
  return "";
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

std::string bind_agent(const Fd& agent, const std::string& at) {
  const Fd target(open(at.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755));
  if (!target) return failed("cannot make " + at);
  if (mount(("/proc/self/fd/" + std::to_string(agent.get())).c_str(), at.c_str(), nullptr, MS_BIND, nullptr) != 0)
    return failed("cannot put the agent into the builder");
  if (mount(nullptr, at.c_str(), nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, nullptr) != 0)
    return failed("cannot make the agent read-only");
  return "";
}

// What the container has for a root until its image comes: the places of its mounts, and the agent.
std::string make_bundle(const LauncherSetup& setup, const std::string& config, const Fd& agent) {
  const std::string& at = setup.place;
  if (mount("mayfly", at.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=1m,mode=0755") != 0)
    return failed("cannot mount the bundle");
  const std::string root = at + "/rootfs";
  const std::string agent_at = root + agent::agent_path;
  for (const std::string& path : {root, root + "/proc", root + "/sys", root + "/dev", root + new_root,
                                  agent_at.substr(0, agent_at.rfind('/')), at + builder_space})
    if (mkdir(path.c_str(), 0755) != 0) return failed("cannot make " + path);
  if (auto error = note(at + "/config.json", config); !error.empty()) return error;
  return bind_agent(agent, agent_at);
}

struct AgentFiles {
  Fd listen, oom, hold, seccomp;
};

// The descriptors as src/agent/options.h numbers them, and nothing but them and the launcher's lock.
std::string arrange_descriptors(const std::string& errors_path, const AgentFiles& files) {
  Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  Fd errors(open(errors_path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  if (!null || !errors) return failed("cannot open the file for the runtime's errors");
  // First out of the way of the numbers they are to have, then into place.
  const int from[] = {null.get(),         errors.get(),    errors.get(),
                      files.listen.get(), files.oom.get(), files.hold ? files.hold.get() : null.get(),
                      files.seccomp.get()};
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

std::string exec_runtime(const LauncherSetup& setup, const SlotPlace& place) {
  const std::string root = setup.directory + "/r", pid_file = place.directory + "/pid";
  const std::string fds = std::to_string(agent::seccomp_fd - 2);  // all from 3 up to it
  std::vector<const char*> argv = {setup.runtime.c_str(), "--root", root.c_str()};
  if (!setup.is_runc) argv.insert(argv.end(), {"--cgroup-manager=disabled"});
  argv.insert(argv.end(), {"run", "--detach", "--preserve-fds", fds.c_str(), "--bundle", setup.place.c_str(),
                           "--pid-file", pid_file.c_str(), place.name.c_str(), nullptr});
  const char* environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", nullptr};
  execve(setup.runtime.c_str(), const_cast<char**>(argv.data()), const_cast<char**>(environment));
  return failed("cannot execute " + setup.runtime);
}

std::string run_runtime(const LauncherSetup& setup, const SlotPlace& place, const AgentFiles& files) {
  const std::string errors = place.directory + slot_errors;
  const pid_t runtime = fork();
  if (runtime < 0) return failed("cannot fork");
  if (runtime == 0) {
    auto error = arrange_descriptors(errors, files);
    if (error.empty()) error = exec_runtime(setup, place);
    (void)note(errors, error);
    _exit(127);
  }
  int status = 0;
  while (waitpid(runtime, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return "";
  return setup.runtime + " failed: " + tail_of(errors);
}

std::string find_first_process(const SlotPlace& place, SlotContainer& container) {
  Process& first = container.first;
  first.pid = std::atoi(os::read_file(place.directory + "/pid", 64).value_or("").c_str());
  first.start = first.pid > 0 ? process_start_time(first.pid) : 0;
  if (first.start == 0) return "the agent ended at once: " + tail_of(place.directory + slot_errors);
  if (auto error = note(place.directory + slot_process, std::to_string(first.pid) + " " + std::to_string(first.start));
      !error.empty())
    return error;
  const std::string namespaces = "/proc/" + std::to_string(first.pid) + "/ns/";
  container.mounts.reset(open((namespaces + "mnt").c_str(), O_RDONLY | O_CLOEXEC));
  container.uts.reset(open((namespaces + "uts").c_str(), O_RDONLY | O_CLOEXEC));
  return container.mounts && container.uts ? "" : failed("cannot open the container's namespaces");
}

}  // namespace

std::string put(const std::string& path, const std::string& value) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), value.data(), value.size()) < 0) return failed("cannot write " + value + " to " + path);
  return "";
}

std::string tail_of(const std::string& path) {
  auto text = os::read_file(path, 1u << 20).value_or("");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.size() > 600 ? "…" + text.substr(text.size() - 600) : text;
}

std::string start_container(const LauncherSetup& setup, Network kind, const SlotPlace& place, Fd listen_socket,
                            JoinedNetwork network, SlotContainer& container) {
  if (auto error = enter_cgroups(setup, place.name); !error.empty()) return error;
  if (unshare(CLONE_NEWNS) != 0) return failed("cannot make a mount namespace");
  // Layers mounted later are to be seen here; what the runtime unmounts here must stay where it is elsewhere.
  if (mount(nullptr, (setup.directory + "/l").c_str(), nullptr, MS_SLAVE, nullptr) != 0)
    return failed("cannot follow the mounts of layers");
  AgentFiles files;
  files.listen = std::move(listen_socket);
  files.hold = std::move(network.hold);
  files.oom = open_oom_file(setup, place.name);
  // Opened now: the next step may cover the place where they are.
  const Fd agent(open(setup.agent.c_str(), O_PATH | O_CLOEXEC));
  if (!agent) return failed("cannot open the agent " + setup.agent);
  files.seccomp.reset(open((setup.directory + "/" + seccomp_file).c_str(), O_RDONLY | O_CLOEXEC));
  if (!files.seccomp) return failed("cannot open the system call filter in " + setup.directory);
  std::string config = setup.configs.at(static_cast<std::size_t>(kind));
  replace_all(config, slot_placeholder, place.name);
  replace_all(config, network_placeholder, "/proc/" + std::to_string(network.holder));
  if (auto error = make_bundle(setup, config, agent); !error.empty()) return error;
  if (auto error = run_runtime(setup, place, files); !error.empty()) return error;
  return find_first_process(place, container);
}

}  // namespace mayfly::local
