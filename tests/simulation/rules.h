#pragma once
// What the configuration demands, worked out a second time and as plainly as possible: production's own code is what is
// on trial. Schedules are limited to what a minute of the hour says.
#include <set>
#include <string>
#include <vector>

#include "model/pool.h"

namespace mayfly::sim {

// An entry of a pool's schedule: its time is every minute of the hour that is `offset`, or any multiple of `every`
// beyond.
struct Window {
  int every = 10, offset = 0;
  ScheduleEntry says;
  std::string cron() const;
};

struct Numbers {
  int warm = 0, min = 0, max = 0;
  Time refresh{};                                                  // idle builders asked for before this are replaced
  int idle() const { return std::min(std::max(warm, min), max); }  // while no job runs
};
Numbers numbers_at(const PoolSpec& pool, const std::vector<Window>& windows, Time t);

// Whether a job that asks for labels may go to this pool.
bool serves(const PoolSpec& pool, const JobSpec& job);
// Whether such a job is to ask `a` before `b`.
bool preferred(const PoolSpec& a, const PoolSpec& b);

// A platform's launches of the last minutes: as many at once as fit into a minute, and no more in each minute on
// average.
class Spent {
 public:
  bool take(int per_minute, Time now);  // false: one too many

 private:
  int per_minute_ = 0;
  double tokens_ = 0;
  Time at_{};
};

// Starts that failed in a row, of one version on one platform or of several on it. After so many these are left alone,
// for longer each time; then one builder of a version is tried at a time. Jumps of the clock below a second are left to
// it: where there are any, what happens close to the end of the rest may fall on either side.
struct Failing {
  static constexpr Duration rest = std::chrono::seconds(30), longest = std::chrono::minutes(5);
  int limit = 8;
  std::size_t versions = 1;
  int failures = 0, openings = 0;
  std::set<std::string> failed_ones = {};
  bool unsure = false;  // one was told too late to know when it happened
  Time until{};
  void failed(Time now, const std::string& version, Duration blur) {
    failed_ones.insert(version);
    if (++failures < limit || failed_ones.size() < versions || now < until - blur) return;
    unsure = unsure || now < until + blur;
    if (now < until) return;
    until = now + std::min<Duration>(longest, rest * (1 << std::min(openings++, 4)));
  }
  bool rests(Time now, Duration blur) const { return !unsure && now < until - blur; }
};

}  // namespace mayfly::sim
