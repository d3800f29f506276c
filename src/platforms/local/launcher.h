#pragma once
// The launcher: a small process beside the daemon that starts containers. It exists because forking a large daemon is
// slow, and because builders' mounts need a mount namespace that is not the host's. It keeps a few children ready
// ("slots"), each already in cgroups of its own; an order makes one of them a builder. It outlives a killed daemon only
// until the launches in flight are done, and its lock file makes the next launcher wait for that.
#include <sys/types.h>

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "platforms/local/launch_order.h"
#include "platforms/local/networks.h"

namespace mayfly::local {

class Launcher {
 public:
  Launcher(int control, LauncherSetup setup) : control_(control), setup_(std::move(setup)) {}
  // Runs until the daemon closes its end of `control`. The exit code of the process.
  int run();

 private:
  struct Slot {
    std::string name;
    pid_t pid = -1;
    os::Fd socket;                     // orders go in, an error text comes out
    std::optional<LaunchOrder> order;  // once it has one
    Network network;                   // egress: what the builder joins
  };
  struct Waiting {  // for a network
    LaunchOrder order;
    os::Fd listen_socket;
  };

  std::string prepare();  // lock, mount namespace, cgroups
  std::string take_lock();
  void remove_unowned_cgroups();
  void fill_slots();
  bool fork_slot();
  [[noreturn]] void be_slot(const std::string& name, int socket);
  void take_message();
  void launch(LaunchOrder order, os::Fd listen_socket);
  std::string hand_over(Slot& slot, const LaunchOrder& order, const os::Fd& listen_socket);
  void cancel(const LaunchOrder& order);
  std::string make_lowers(LaunchOrder& order);
  bool unmount_lowers();
  std::string mount_shifted(const std::string& layer, const std::string& at);
  void reap();
  void stop_builders();
  void remove_parent_cgroups();
  void slot_ended(Slot slot, int status);
  void fill_networks();
  void look_at_networks();
  void answer(const LaunchOrder& order, const std::string& error);
  void remove_slot_cgroup(const std::string& name);
  void finish();

  os::Fd control_;
  LauncherSetup setup_;
  os::Fd lock_, signals_, user_namespace_;
  std::string birth_;  // makes slots' names differ from those of every launcher before
  int slots_made_ = 0;
  bool dismissed_ = false;  // the daemon said that it ends
  std::deque<Slot> idle_;
  std::vector<Slot> busy_;
  Networks networks_{setup_};
  std::size_t networks_wanted_ = 0;  // how many to keep ready; none before somebody needs them
  std::deque<Waiting> waiting_;
  std::map<std::string, std::string> shifted_;  // layer → its idmapped mount in this process's mount namespace
  std::string slot_error_;                      // why slots cannot be made; told with the next order
};

}  // namespace mayfly::local
