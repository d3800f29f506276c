#pragma once
// What must hold after every step, whatever is going wrong, and what must hold at the end.
#include <functional>
#include <map>
#include <string>

#include "tests/simulation/clients.h"
#include "tests/simulation/daemon.h"

namespace mayfly::sim {

class Checks {
 public:
  Checks(Land& land, RecordingStore& store, Daemon& daemon, Clients& clients)
      : land_(land), store_(store), daemon_(daemon), clients_(clients) {}

  void after_step();
  bool well_ones_over() const;  // as isolation() wants them
  void isolation() const;       // the platform that was not broken served its jobs as ever
  void at_rest() const;         // healed and all over: the warm builders and nothing else
  void at_end() const;          // the daemon has stopped its builders
  std::string restless() const;

 private:
  void builders();
  void leftover(Place& place, const BuilderId& id);
  void cancelled();
  void reasons();
  // How many builders there are after a step, and what waits for more.
  struct Numbered {
    std::map<PoolName, int> exist, coming, started,
        warmed;  // started, warmed: in this step, for jobs and ahead of them
    std::map<std::string, int> requested, on_platform;
    std::map<PoolName, int> short_of_room;  // jobs of its own that wait for room on its platform
  };
  Numbered count_up();
  void reason(const Job& job, const Numbered& n);
  void own_pool(const Job& job, const Numbered& n, const std::function<void(const std::string&)>& wrong);
  void choice(const Job& job, const Numbered& n, const std::function<void(const std::string&)>& wrong) const;
  void fair(const Numbered& n) const;
  bool waits_well(const Job& job) const;
  Duration clock_of(const Job& job) const;
  void counts();
  bool refreshed(const PoolSpec& pool) const;
  std::string unneeded(const BuilderId& id) const;

  Land& land_;
  RecordingStore& store_;
  Daemon& daemon_;
  Clients& clients_;
  std::map<BuilderId, Duration> unneeded_since_;  // by the platform's clock without excused time
  std::map<JobId, Duration> cancelled_since_;
  struct Told {
    std::uint64_t generation = 0;  // of the daemon: a new one looks at everything anew
    int assignments = 0;
    Reason reason;
  };
  std::map<JobId, Told> told_;
  std::uint64_t newest_ = 0;  // number of the youngest builder when the last step was over
  Time latest_{};             // the daemon's clock, at its highest
};

}  // namespace mayfly::sim
