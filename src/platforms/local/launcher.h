#pragma once
// The launcher: a small process beside the daemon that starts containers. It exists because forking a large daemon is
// slow, and because builders' mounts need a mount namespace that is not the host's. It keeps a few containers ready
// that have no image yet (slot.h); an order makes one of them a builder. It outlives a killed daemon only until the
// launches in flight are done, and its lock file makes the next launcher wait for that.
#include <sys/types.h>

#include <array>
#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "platforms/local/launch_order.h"
#include "platforms/local/networks.h"
#include "platforms/local/remains.h"
#include "platforms/local/slot.h"

namespace mayfly::local {

class Launcher {
 public:
  Launcher(int control, LauncherSetup setup);
  // Runs until the daemon closes its end of `control`. The exit code of the process.
  int run();

 private:
  struct Slot {
    SlotPlace place;
    Network kind = Network::none;
    pid_t pid = -1;
    os::Fd socket;                     // orders go in, "ready" and error texts come out
    bool ready = false;                // its container waits
    std::optional<LaunchOrder> order;  // once it is promised to one
    bool handed_over = false;          // its directory is the builder's
    EgressNetwork network;             // egress: what the builder joins
  };
  struct Kind {
    bool wanted = false;   // slots are kept ready for it
    bool resting = false;  // one could not be made: no more before the next order, which will be told why
  };

  // launcher.cc: the loop, and the daemon's messages
  std::string prepare();  // lock, mount namespace, cgroups
  std::string take_lock();
  void remove_unowned();
  int calm_in_ms() const;
  void take_message();
  void launch(LaunchOrder order);
  void cancel(const LaunchOrder& order);
  void answer(const LaunchOrder& order, const std::string& error);
  std::string make_lowers(LaunchOrder& order);
  bool unmount_lowers();
  std::string mount_shifted(const std::string& layer, const std::string& at);
  void stop_builders();
  void remove_parent_cgroups();
  void finish();

  // launcher_slots.cc: the stock
  Kind& kind(Network network) { return kinds_.at(static_cast<std::size_t>(network)); }
  std::size_t idle(Network network) const;
  void fill_slots();
  Slot* fork_slot(Network network);
  Slot* best_slot(Network network);
  void look_at_slots();
  void hand_over(Slot& slot);
  std::string give(Slot& slot);
  void reap();
  void slot_ended(Slot slot, int status);
  std::string last_words(const Slot& slot, int status);
  void drop(const Slot& slot);  // what it made
  void fill_networks();
  void look_at_networks();

  os::Fd control_;
  LauncherSetup setup_;
  BuilderPlace place_;
  os::Fd lock_, signals_, user_namespace_;
  std::string birth_;  // makes slots' names differ from those of every launcher before
  int slots_made_ = 0;
  bool dismissed_ = false;  // the daemon said that it ends
  std::deque<Slot> slots_;
  std::array<Kind, 3> kinds_;                        // by Network
  std::chrono::steady_clock::time_point calm_at_{};  // no slot is made ahead before
  Networks networks_{setup_};
  std::deque<LaunchOrder> waiting_;             // for a network
  std::map<std::string, std::string> shifted_;  // layer → its idmapped mount in this process's mount namespace
};

}  // namespace mayfly::local
