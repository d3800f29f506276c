#include "platforms/local/slot.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "platforms/local/builder_root.h"
#include "platforms/local/slot_container.h"

namespace mayfly::local {
namespace {

using os::Fd;

constexpr int hello_patience_ms = 30'000;

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

// A path through the opened directory: the path itself may be longer than the 107 bytes of a unix socket's address.
bool short_address(const Fd& directory, const char* name, sockaddr_un& address) {
  const std::string path = "/proc/self/fd/" + std::to_string(directory.get()) + name;
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return true;
}

std::string listen_for_daemon(const Fd& directory, Fd& socket) {
  sockaddr_un address{};
  socket.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket || !short_address(directory, agent_socket, address) ||
      bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(socket.get(), 8) != 0)
    return failed("cannot listen for the agent");
  return "";
}

// As long as this line is open, the agent does not think itself forgotten; when it breaks, the agent is gone.
std::string call_agent(const Fd& directory, Fd& line) {
  sockaddr_un address{};
  line.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!line || !short_address(directory, agent_socket, address) ||
      connect(line.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return failed("cannot reach the agent");
  return "";
}

struct Standing {  // a container that waits
  SlotContainer container;
  Fd process, line;
};

// The runtime ends before the agent's program is loaded: the root must not change under that.
std::string hear_agent(const Standing& standing) {
  pollfd fds[] = {{standing.line.get(), POLLIN, 0}, {standing.process.get(), POLLIN, 0}};
  int ready = 0;
  while ((ready = poll(fds, 2, hello_patience_ms)) < 0 && errno == EINTR) {
  }
  if (ready == 0) return "the agent says nothing";
  return fds[0].revents & POLLIN ? "" : "the agent ended at once";
}

std::string make_ready(const LauncherSetup& setup, Network kind, const SlotPlace& place, JoinedNetwork network,
                       Standing& standing) {
  if (mkdir(place.directory.c_str(), 0700) != 0) return failed("cannot make " + place.directory);
  if (auto error = note(place.directory + slot_note, place.name); !error.empty()) return error;
  const Fd directory(open(place.directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  Fd socket;
  if (auto error = listen_for_daemon(directory, socket); !error.empty()) return error;
  if (auto error = start_container(setup, kind, place, std::move(socket), std::move(network), standing.container);
      !error.empty())
    return error;
  const Process& first = standing.container.first;
  standing.process.reset(static_cast<int>(syscall(SYS_pidfd_open, first.pid, 0)));
  if (!standing.process) return failed("cannot watch the agent");
  if (auto error = call_agent(directory, standing.line); !error.empty()) return error;
  auto error = hear_agent(standing);
  return error.empty() ? "" : error + ": " + tail_of(place.directory + slot_errors);
}

// False: nothing will come.
bool wait_for_order(const Fd& socket, const Standing& standing, std::string& error) {
  pollfd fds[] = {{socket.get(), POLLIN, 0}, {standing.process.get(), POLLIN, 0}};
  while (poll(fds, 2, -1) < 0 && errno == EINTR) {
  }
  if (fds[0].revents == 0) error = "the agent ended before it had a job";
  return fds[0].revents != 0;
}

}  // namespace

std::string slots_directory(const LauncherSetup& setup) { return setup.directory + "/s"; }

std::string slot_cgroup(const LauncherSetup& setup, const std::string& root, const std::string& name) {
  return root + setup.cgroup + "/" + name;
}

std::string note(const std::string& path, const std::string& text) {
  const Fd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!fd || write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
    return failed("cannot write " + path);
  return "";
}

void be_slot(const LauncherSetup& setup, Network kind, const SlotPlace& place, Fd socket, JoinedNetwork network) {
  Standing standing;
  std::string error = make_ready(setup, kind, place, std::move(network), standing);
  (void)send_message(socket.get(), error.empty() ? slot_ready : error);
  if (!error.empty()) _exit(1);
  if (wait_for_order(socket, standing, error)) {
    auto message = receive_message(socket.get());
    auto order = message ? decode_order(*message) : Result<LaunchOrder>(Unexpected(message.error()));
    if (order) {
      standing.line.reset();  // the daemon's takes its place
      error = give_root(setup, *order, place.name, standing.container);
      if (error.empty()) _exit(0);
    }
  }
  if (!error.empty()) (void)send_message(socket.get(), error);
  syscall(SYS_pidfd_send_signal, standing.process.get(), SIGKILL, nullptr, 0);
  _exit(1);
}

}  // namespace mayfly::local
