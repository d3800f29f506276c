#include "platforms/local/remains.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <sstream>

#include "os/file.h"
#include "platforms/local/launch_order.h"
#include "platforms/local/launcher_support.h"
#include "platforms/local/slot.h"

namespace mayfly::local {
namespace {

struct Process {
  int pid = 0;
  std::uint64_t start = 0;
};

// "PID START", as the launcher noted it.
Process noted(const std::string& path) {
  Process p;
  std::istringstream(os::read_file(path, 256).value_or("")) >> p.pid >> p.start;
  return p;
}

bool runs(const Process& p) { return p.pid > 1 && p.start != 0 && process_start_time(p.pid) == p.start; }

int milliseconds_until(Deadline deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
  return static_cast<int>(std::clamp<long long>(left, 0, 60'000));
}

// By pidfd, opened before the check, so that the process checked is the process killed.
Result<void> end_process(const Process& p, Deadline deadline, const std::string& what) {
  if (p.pid <= 1) return {};
  const os::Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, p.pid, 0)));
  if (!pidfd || !runs(p)) return {};
  if (syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0) != 0 && errno != ESRCH)
    return Unexpected(errno_error("cannot kill " + what, errno));
  pollfd ended{pidfd.get(), POLLIN, 0};
  if (poll(&ended, 1, milliseconds_until(deadline)) <= 0)
    return fail(ErrorCode::timeout, what + " does not die", "pid " + std::to_string(p.pid));
  return {};
}

// By rename first: as long as a builder's directory is there, list() knows of the builder.
Result<void> move_to_trash(const BuilderPlace& place, const std::string& directory) {
  static std::atomic<unsigned> count = 0;
  const std::string trash = place.platform_directory + "/trash";
  MAYFLY_TRY(os::make_directories(trash));
  const std::string target =
      trash + directory.substr(directory.rfind('/')) + "." + std::to_string(getpid()) + "." + std::to_string(++count);
  if (rename(directory.c_str(), target.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return Unexpected(errno_error("cannot move the builder's directory away", errno, directory));
  }
  return os::remove_tree(target);
}

}  // namespace

bool is_alive(const BuilderPlace& place, const BuilderId& id) { return runs(noted(place.directory(id) + slot_alive)); }

bool first_process_runs(const std::string& directory) { return runs(noted(directory + slot_process)); }

Result<void> remove_slot(const BuilderPlace& place, const std::string& directory, Deadline deadline) {
  for (const char* file : {slot_process, slot_alive})
    MAYFLY_TRY(end_process(noted(directory + file), deadline, "the builder's first process"));
  MAYFLY_TRY(end_process(noted(directory + "/slirp"), deadline, "the builder's slirp4netns"));
  const std::string slot = os::read_file(directory + slot_note, 256).value_or("");
  if (!slot.empty() && !place.cgroup.empty())
    for (const auto& root : place.cgroup_roots)
      if (!kill_and_remove_cgroup(root + place.cgroup + "/" + slot, milliseconds_until(deadline)))
        return fail(ErrorCode::timeout, "the builder's cgroup cannot be removed: processes in it do not die",
                    root + place.cgroup + "/" + slot);
  if (!slot.empty()) MAYFLY_TRY(os::remove_tree(place.platform_directory + "/r/" + slot));
  return move_to_trash(place, directory);
}

Result<void> remove_builder(const BuilderPlace& place, const BuilderId& id, Deadline deadline) {
  return remove_slot(place, place.directory(id), deadline);
}

}  // namespace mayfly::local
