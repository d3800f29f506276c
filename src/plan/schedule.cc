#include "plan/schedule.h"

#include <algorithm>

namespace mayfly::plan {

Schedule::Schedule(const PoolSpec& pool) : own_{pool.warm, pool.min, pool.max, {}, {}} {
  for (const auto& entry : pool.schedule)
    if (auto cron = Cron::parse(entry.cron, entry.timezone)) entries_.push_back({entry, *cron});
}

std::vector<NumberSource> Schedule::sources(Time now) const {
  std::vector<NumberSource> out{{"warm", own_.warm, {}, {}}, {"min", own_.min, {}, {}}, {"max", own_.max, {}, {}}};
  // The later time wins; of entries at the same time, the later in the list.
  auto take = [](NumberSource& n, const std::optional<int>& value, const ScheduleEntry& e, Time at) {
    if (!value || (!n.entry.empty() && n.since > at)) return;
    n = {std::move(n.number), *value, e.cron + " " + e.timezone, at};
  };
  for (const auto& e : entries_) {
    auto last = e.cron.last(now);
    if (!last) continue;
    take(out[0], e.says.warm, e.says, *last);
    take(out[1], e.says.min, e.says, *last);
    take(out[2], e.says.max, e.says, *last);
  }
  // Entries of different times may leave more asked for than allowed: the limit is what holds.
  for (auto& n : out) n.value = std::min(n.value, out[2].value);
  return out;
}

PoolNumbers Schedule::at(Time now) const {
  auto numbers = own_;
  auto from = sources(now);
  numbers.warm = from[0].value;
  numbers.min = from[1].value;
  numbers.max = from[2].value;
  for (const auto& e : entries_) {
    if (auto next = e.cron.next(now); next && (!numbers.until || *next < *numbers.until)) numbers.until = next;
    auto last = e.cron.last(now);
    if (last && e.says.refresh && (!numbers.refresh || *numbers.refresh < *last)) numbers.refresh = last;
  }
  return numbers;
}

}  // namespace mayfly::plan
