#pragma once
// What goes wrong by itself, at times drawn beforehand: kills, outages, deaths, full disks, jumping clocks.
#include <vector>

#include "tests/simulation/daemon.h"

namespace mayfly::sim {

class Chaos {
 public:
  Chaos(Land& land, RecordingStore& store, Daemon& daemon) : land_(land), store_(store), daemon_(daemon) {}

  void schedule(Duration length);
  void end();         // heals the world and sees that a daemon runs
  void after_step();  // a daemon that died is started again after a while
  Duration jumped_back() const { return land_.jumped_back; }

 private:
  void often(bool wanted, int most, Duration length, std::function<void()> what);
  void kill();
  void kill_at_step();
  void stop_gently();
  void outage();
  void death();
  void line_break();
  void fill_store();
  void jump();
  void remove_image();
  void change_config();
  std::optional<BuilderId> some_builder(Place& place);
  Place& some_place();

  Land& land_;
  RecordingStore& store_;
  Daemon& daemon_;
  Config original_;
  bool over_ = false, restarting_ = false;
  std::uint64_t stopping_ = 0;  // the daemon that was told to stop
};

}  // namespace mayfly::sim
