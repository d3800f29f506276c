#pragma once
// What must hold after every step, whatever is going wrong, and what must hold at the end.
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
  void isolation() const;  // the platform that was not broken served its jobs as ever
  void at_rest() const;    // healed and all over: the warm builders and nothing else
  void at_end() const;     // the daemon has stopped its builders
  bool rests() const;

 private:
  void builders();
  void leftover(Place& place, const BuilderId& id);
  void cancelled();
  void reasons();
  void reason(const Job& job, const std::map<PoolName, int>& exist, const std::map<PoolName, int>& coming);
  void counts();
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
  Time latest_{};  // the daemon's clock, at its highest
};

}  // namespace mayfly::sim
