#pragma once
// The daemon of a simulation: the real Core, with the loop of control.cc around it, which can be killed between any two
// steps and at every boundary inside a step.
#include <deque>
#include <memory>

#include "control/core.h"
#include "tests/simulation/recording_store.h"
#include "tests/simulation/sim_agents.h"
#include "tests/simulation/sim_executor.h"

namespace mayfly::sim {

class Daemon {
 public:
  Daemon(Land& land, RecordingStore& store, StatePaths paths);
  ~Daemon();

  void start();  // and, should it be killed on the way, stays dead
  void kill(const std::string& why);
  bool up() const { return core_ != nullptr; }
  Core& core() { return *core_; }
  Wire& wire() { return wire_; }

  bool send(std::function<void(Core&)> request);  // false: nobody listens
  std::optional<Time> due() const;                // when it will step, by the world's clock
  void step();                                    // takes its mail and steps
  void crash_after(std::uint64_t boundaries) { crash_at_ = boundaries == 0 ? 0 : boundaries_ + boundaries; }  // 0: not

  std::uint64_t steps = 0, kills = 0;

 private:
  struct Crash {};
  void boundary(std::string_view name);
  void check_progress();

  Land& land_;
  RecordingStore& store_;
  StatePaths paths_;
  Wire wire_;
  std::unique_ptr<SecretStore> secrets_;
  std::unique_ptr<ImageTool> images_;
  Log log_;
  std::deque<std::function<void()>> mail_;
  std::unique_ptr<SimAgents> agents_;
  std::vector<std::unique_ptr<SimExecutor>>
      executors_;  // the last is the living daemon's; calls of others may be under way
  std::unique_ptr<Core> core_;
  std::uint64_t boundaries_ = 0, crash_at_ = 0;
  Time last_step_{};
  int steps_at_once_ = 0;
};

}  // namespace mayfly::sim
