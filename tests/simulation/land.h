#pragma once
// The world of one seed: its clock, its platforms, what goes wrong and how often, and the truth about every job,
// whatever the daemon comes to believe. It outlives every daemon of the seed.
#include <map>
#include <memory>
#include <set>
#include <string>

#include "control/control.h"
#include "platforms/fake/fake_platform.h"
#include "tests/simulation/agenda.h"
#include "tests/simulation/mutation.h"
#include "tests/simulation/rng.h"
#include "tests/simulation/rules.h"
#include "tests/simulation/trace.h"

namespace mayfly::sim {

// The daemon's clock: the world's, with jumps.
class DaemonClock final : public Clock {
 public:
  explicit DaemonClock(const Clock& world) : world_(world) {}
  Time now() const override { return world_.now() + offset; }
  Duration steady() const override { return world_.now().time_since_epoch(); }
  Time world_time(Time daemon_time) const { return daemon_time - offset; }
  Duration offset{};

 private:
  const Clock& world_;
};

// How often each thing goes wrong, in percent of its occasions; 0: never in this seed. Not every seed has every fault:
// where all is broken all the time, little of what is interesting gets far enough to break.
struct Faults {
  int launch_fails = 0, launch_leaves = 0, launch_reply_lost = 0, slow_calls = 0;
  int unreachable = 0, refuses = 0, deaf = 0, dies_on_assign = 0, dies_running = 0;
  int event_delayed = 0, event_doubled = 0, message_lost = 0;
  bool kills = false, kills_at_steps = false, stops = false, config_changes = false;
  bool line_breaks = false, builder_deaths = false, outages = false, images_vanish = false, store_fills = false;
  bool clock_jumps = false, lists_late = false;
};

// One platform, and what is wrong with it.
struct Place {
  Place(const Clock& clock, std::string name, int parallel) : fake(clock), platform(fake, std::move(name), parallel) {}
  FakeWorld fake;
  FakePlatform platform;
  Faults faults;
  Duration latency{};   // of a call, typically
  Duration list_lag{};  // builders younger than this are not in its list
  bool down = false;    // an outage of some kind
  bool silent = false;  // nothing comes back from it at all
  // Time in which nobody could have removed a builder here: the daemon was away, the store full, the platform down. It
  // is taken off the age of whatever is left over.
  Duration excused{};
};

struct Launched {
  Time at{};
  std::string digest;
};

struct Land {
  Land(std::uint64_t seed, Mutation m, bool loud) : rng(seed), trace(loud), mutation(m) {}

  FakeClock clock;
  DaemonClock daemon_clock{clock};
  Rng rng;
  Trace trace;
  Agenda agenda;
  const Mutation mutation;
  bool isolation = false;  // one platform is broken from the first to the last, and the other must not notice
  std::map<std::string, std::unique_ptr<Place>> places;
  Config config;
  std::map<PoolName, std::vector<Window>> windows;  // of pools that have a schedule, which says the same
  Faults faults;                                    // of what is not one platform's

  // The truth.
  std::map<BuilderId, Launched> launched;                           // builders that came to be
  std::map<std::pair<JobId, BuilderId>, agent::Finished> finished;  // results that agents wrote down
  std::map<JobId, std::set<BuilderId>> ran_on;                      // builders that took the job
  std::set<BuilderId> harmed;                                       // builders to which something was done
  std::map<std::string, std::set<std::string>> digests;             // what a reference resolved to
  std::map<std::string, ImageVersion> versions;                     // by "versioned@1.0.0", as written first
  bool healed = false;
  Time planned_at{};                  // by the world's clock: when the daemon decided last
  std::map<BuilderId, Time> stopped;  // when stop() last removed it, or would have
  bool jumped = false;                // the daemon's clock, once
  Duration jumped_back{};             // by the daemon's clock, in all: deadlines drawn before come that much later
  std::uint64_t generation = 0;       // of the daemon; 0: none runs
  std::uint64_t last_generation = 0;

  Time now() const { return clock.now(); }
  template <class... A>
  void note(fmt::format_string<A...> f, A&&... a) {
    trace.add(now(), f, std::forward<A>(a)...);
  }
  static PoolName pool_of(const BuilderId& id) { return id.substr(0, id.rfind('-')); }
  // Pools keep their platform for good: "a0" lives on platform "a".
  Place& place_of(const BuilderId& id) { return *places.at(id.substr(0, 1)); }
  // By the daemon's clock, as the schedule goes.
  Numbers numbers(const PoolSpec& pool, Time daemon_time) const {
    auto found = windows.find(pool.name);
    return numbers_at(pool, found == windows.end() ? std::vector<Window>() : found->second, daemon_time);
  }
  const PlatformSpec& shared(const std::string& platform) const {
    static const PlatformSpec none;
    auto found = config.platforms.find(platform);
    return found == config.platforms.end() ? none : found->second;
  }
  int parallel_launches(const std::string& platform) const {
    int said = shared(platform).parallel_launches;
    return said > 0 ? said : places.at(platform)->platform.parallel_launches();
  }
  // Within which the end of a rest may fall by the daemon's clock.
  Duration blur() const { return jumped ? seconds(4) : Duration(); }
  void excuse(Duration d) {
    for (auto& [name, place] : places) place->excused += d;
  }
};

// What versions are released from: these exist everywhere. Every third breaks its jobs, and one its builders.
inline constexpr int version_references = 10;
std::string version_reference(int n);

// Draws the world's shape: platforms, pools, and what will go wrong.
void draw(Land& land);
// From now on nothing new goes wrong. What is broken inside builders stays so.
void heal(Land& land);

}  // namespace mayfly::sim
