#pragma once
// What a pool's schedule says at a moment. Pure; made once from the configuration, which has checked it.
#include <optional>
#include <string>
#include <vector>

#include "model/pool.h"
#include "plan/cron.h"

namespace mayfly::plan {

// A pool's numbers at a moment.
struct PoolNumbers {
  int warm = 0, min = 0, max = 0;
  std::optional<Time> refresh;  // idle builders older than this are replaced
  std::optional<Time> until;    // the next moment at which something changes
};

// Why one of the numbers is what it is.
struct NumberSource {
  std::string number;  // "warm", "min", "max"
  int value = 0;
  std::string entry;  // of the schedule: its time; empty: the pool's own
  Time since{};       // when the entry's time came; epoch where there is none
};

class Schedule {
 public:
  // Entries that cannot be read are left out: app/config refuses them with their place.
  explicit Schedule(const PoolSpec& pool);
  // For each number the entry counts whose time came last; without one, the pool's own.
  PoolNumbers at(Time now) const;
  std::vector<NumberSource> sources(Time now) const;  // the same numbers, with where they come from

 private:
  struct Entry {
    ScheduleEntry says;
    Cron cron;
  };
  PoolNumbers own_;
  std::vector<Entry> entries_;
};

}  // namespace mayfly::plan
