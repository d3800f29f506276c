#pragma once
// Networks for `network: egress`, prepared before a builder needs one: starting slirp4netns takes several times as long
// as starting a container. Each is a network namespace, in a user namespace of its own with the builders' mapping (a
// sysfs may only be mounted by who owns the network namespace that it shows, so a builder joins both), kept by a small
// process until the builder has joined. Nothing of it is a file: whatever dies, the pipes' ends close and the rest
// goes. Belongs to the launcher's one thread.
#include <poll.h>
#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "platforms/local/launch_order.h"

namespace mayfly::local {

struct EgressNetwork {
  pid_t holder = -1, slirp = -1;
  os::Fd keep;   // the holder ends when this closes: once the builder has joined
  os::Fd hold;   // slirp4netns ends when the last copy of this closes: the builder's agent gets it
  os::Fd ready;  // one byte from slirp4netns once packets pass
  os::Fd words;  // what slirp4netns says until then
  std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();
};

class Networks {
 public:
  explicit Networks(const LauncherSetup& setup) : setup_(setup) {}

  // Starts networks until so many are ready or starting. What failed, or "".
  std::string prepare(std::size_t count);
  std::optional<EgressNetwork> take();  // one that is ready
  bool any_ready() const { return !ready_.empty(); }

  void add_to(std::vector<pollfd>& fds) const;  // becomes readable when look() has something to do
  std::vector<std::string> look();              // why those failed that have failed since the last look
  bool ended(pid_t pid);                        // after waitpid(): true if it was of a network that was ready, now lost

  void end_stuck();  // those that have been starting for far too long fail
  void forget();     // in a forked child: closes what is the launcher's
  void end();        // kills and waits for all that nobody took

 private:
  std::string start();

  const LauncherSetup& setup_;
  std::vector<EgressNetwork> starting_, ready_;
};

}  // namespace mayfly::local
