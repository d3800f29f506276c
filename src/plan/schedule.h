#pragma once
// What a pool's schedule says at a moment. Pure; made once from the configuration, which has checked it.
#include <optional>
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

class Schedule {
 public:
  // Entries that cannot be read are left out: app/config refuses them with their place.
  explicit Schedule(const PoolSpec& pool);
  // For each number the entry counts whose time came last; without one, the pool's own.
  PoolNumbers at(Time now) const;

 private:
  struct Entry {
    ScheduleEntry says;
    Cron cron;
  };
  PoolNumbers own_;
  std::vector<Entry> entries_;
};

}  // namespace mayfly::plan
