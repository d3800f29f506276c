#pragma once
// When jobs come, week after week: the hours in which it may pay to keep builders warm. Pure.
#include <string>
#include <vector>

#include "model/pool.h"
#include "simulate/workload.h"

namespace mayfly::simulate {

// Hours of the day, from `opens` up to `closes`, which is on the day after where it is not greater.
struct Window {
  int opens = 0, closes = 0;
  bool working_days = false;  // that begin on Monday to Friday; else on every day
  bool operator==(const Window&) const = default;
};

// The shortest windows that most of the jobs come in, for several shares of them. None where a week has no shape.
std::vector<Window> busy_windows(const std::vector<Arrival>& jobs, const std::string& timezone);

// `warm` builders inside the window, which are begun `lead` before it opens, and none outside.
std::vector<ScheduleEntry> entries_of(const Window& window, const std::string& timezone, int warm, Duration lead);

}  // namespace mayfly::simulate
