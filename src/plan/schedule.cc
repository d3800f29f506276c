#include "plan/schedule.h"

#include <algorithm>

namespace mayfly::plan {

Schedule::Schedule(const PoolSpec& pool) : own_{pool.warm, pool.min, pool.max, {}, {}} {
  for (const auto& entry : pool.schedule)
    if (auto cron = Cron::parse(entry.cron, entry.timezone)) entries_.push_back({entry, *cron});
}

PoolNumbers Schedule::at(Time now) const {
  PoolNumbers numbers = own_;
  std::optional<Time> warm_since, min_since, max_since;
  // The later time wins; of entries at the same time, the later in the list.
  auto take = [](const std::optional<int>& value, Time at, int& number, std::optional<Time>& since) {
    if (!value || (since && *since > at)) return;
    number = *value;
    since = at;
  };
  for (const auto& e : entries_) {
    if (auto next = e.cron.next(now); next && (!numbers.until || *next < *numbers.until)) numbers.until = next;
    auto last = e.cron.last(now);
    if (!last) continue;
    take(e.says.warm, *last, numbers.warm, warm_since);
    take(e.says.min, *last, numbers.min, min_since);
    take(e.says.max, *last, numbers.max, max_since);
    if (e.says.refresh && (!numbers.refresh || *numbers.refresh < *last)) numbers.refresh = last;
  }
  // Entries of different times may leave more asked for than allowed: the limit is what holds.
  numbers.warm = std::min(numbers.warm, numbers.max);
  numbers.min = std::min(numbers.min, numbers.max);
  return numbers;
}

}  // namespace mayfly::plan
