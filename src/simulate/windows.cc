#include "simulate/windows.h"

#include <date/tz.h>

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

namespace mayfly::simulate {
namespace {

constexpr int day_hours = 24, longest = 22;
constexpr double shares[] = {0.9, 0.95, 0.98, 1};

// How many jobs come in each hour of the day, on days that count.
struct Hours {
  std::array<double, day_hours> jobs{};
  double all = 0;  // on other days, too

  double within(int opens, int length) const {
    double sum = 0;
    for (int i = 0; i < length; ++i) sum += jobs[static_cast<std::size_t>((opens + i) % day_hours)];
    return sum;
  }
};

Hours hours_of(const std::vector<Arrival>& jobs, const date::time_zone& zone, bool working_days) {
  Hours out;
  for (const auto& j : jobs) {
    auto local = zone.to_local(std::chrono::floor<std::chrono::seconds>(j.submitted));
    auto day = date::floor<date::days>(local);
    auto weekday = date::weekday(day);
    ++out.all;
    if (working_days && (weekday == date::Saturday || weekday == date::Sunday)) continue;
    ++out.jobs[static_cast<std::size_t>(std::chrono::duration_cast<std::chrono::hours>(local - day).count())];
  }
  return out;
}

std::optional<Window> shortest(const Hours& hours, double share, bool working_days) {
  for (int length = 1; length <= longest; ++length) {
    int best = 0;
    for (int opens = 1; opens < day_hours; ++opens)
      if (hours.within(opens, length) > hours.within(best, length)) best = opens;
    if (hours.within(best, length) >= share * hours.all) return Window{best, (best + length) % day_hours, working_days};
  }
  return std::nullopt;
}

}  // namespace

std::vector<Window> busy_windows(const std::vector<Arrival>& jobs, const std::string& timezone) {
  std::vector<Window> out;
  const date::time_zone& zone = *date::locate_zone(timezone);  // the configuration was checked
  for (bool working_days : {true, false}) {
    const auto hours = hours_of(jobs, zone, working_days);
    for (double share : shares)
      if (auto w = shortest(hours, share, working_days); w && std::find(out.begin(), out.end(), *w) == out.end())
        out.push_back(*w);
  }
  return out;
}

std::vector<ScheduleEntry> entries_of(const Window& window, const std::string& timezone, int warm, Duration lead) {
  // Not into the day before, which would have to be another one for working days.
  auto ahead =
      std::min<int>(static_cast<int>(std::chrono::ceil<std::chrono::minutes>(lead).count()), window.opens * 60);
  const int opens = window.opens * 60 - ahead;
  const bool next_day = window.closes <= window.opens;
  ScheduleEntry open, close;
  open.timezone = close.timezone = timezone;
  open.warm = warm, close.warm = 0;
  open.cron = fmt::format("{} {} * * {}", opens % 60, opens / 60, window.working_days ? "MON-FRI" : "*");
  close.cron = fmt::format("0 {} * * {}", window.closes, !window.working_days ? "*" : next_day ? "TUE-SAT" : "MON-FRI");
  return {open, close};
}

}  // namespace mayfly::simulate
