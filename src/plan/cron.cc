#include "plan/cron.h"

#include <date/tz.h>

#include <charconv>
#include <exception>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly::plan {
namespace {

constexpr int furthest = 366 * 9;  // days; 29 February is at most eight years away

constexpr std::string_view month_names[] = {"JAN", "FEB", "MAR", "APR", "MAY", "JUN",
                                            "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"};
constexpr std::string_view weekday_names[] = {"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"};

struct Field {
  std::string_view name;
  int low, high;
  std::span<const std::string_view> names;  // the first one stands for `low`
};

std::optional<int> number(std::string_view text, const Field& field) {
  for (std::size_t i = 0; i < field.names.size(); ++i) {
    auto same = text.size() == 3;
    for (std::size_t k = 0; same && k < 3; ++k) same = (text[k] & ~0x20) == field.names[i][k];
    if (same) return field.low + static_cast<int>(i);
  }
  int n = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (ec != std::errc() || end != text.data() + text.size() || text.empty() || n < field.low || n > field.high)
    return std::nullopt;
  return n;
}

Unexpected wrong(std::string_view part, const Field& field) {
  return fail(ErrorCode::invalid,
              fmt::format("'{}' does not fit the {} ({} to {})", part, field.name, field.low, field.high), "cron",
              "Five fields: minute hour day-of-month month day-of-week, such as 0 5 * * MON-FRI.");
}

// The numbers that one field allows.
Result<std::vector<int>> allowed(std::string_view text, const Field& field) {
  std::vector<int> all;
  for (const auto& part : split(text, ',')) {
    auto slash = part.find('/');
    auto range = std::string_view(part).substr(0, slash);
    int step = 1, from = field.low, to = field.high;
    if (slash != std::string::npos) {
      auto s = number(std::string_view(part).substr(slash + 1), {field.name, 1, field.high, {}});
      if (!s) return wrong(part, field);
      step = *s;
    }
    if (range != "*") {
      auto dash = range.find('-');
      auto first = number(range.substr(0, dash), field);
      auto last = dash == std::string_view::npos ? first : number(range.substr(dash + 1), field);
      if (!first || !last || *last < *first) return wrong(part, field);
      from = *first;
      to = dash == std::string_view::npos && step > 1 ? field.high : *last;  // "5/15": from 5 on
    }
    for (int n = from; n <= to; n += step) all.push_back(n);
  }
  return all;
}

template <std::size_t N>
Result<void> read(std::string_view text, const Field& field, std::bitset<N>& bits) {
  MAYFLY_ASSIGN(auto all, allowed(text, field));
  for (int n : all) bits.set(static_cast<std::size_t>(n) % N);
  return {};
}

date::local_days local_day(const date::time_zone* zone, Time t) {
  return date::floor<date::days>(zone->to_local(std::chrono::floor<std::chrono::seconds>(t)));
}

}  // namespace

Result<Cron> Cron::parse(std::string_view expression, std::string_view time_zone) {
  std::vector<std::string> fields;
  for (auto& f : split(expression, ' '))
    if (!f.empty()) fields.push_back(std::move(f));
  if (fields.size() != 5)
    return fail(ErrorCode::invalid, fmt::format("'{}' has {} fields, not five", expression, fields.size()), "cron",
                "Write minute hour day-of-month month day-of-week, such as 0 5 * * MON-FRI.");
  Cron c;
  MAYFLY_TRY(read(fields[0], {"minute", 0, 59, {}}, c.minutes_));
  MAYFLY_TRY(read(fields[1], {"hour", 0, 23, {}}, c.hours_));
  MAYFLY_TRY(read(fields[2], {"day of month", 1, 31, {}}, c.days_));
  MAYFLY_TRY(read(fields[3], {"month", 1, 12, month_names}, c.months_));
  MAYFLY_TRY(read(fields[4], {"day of week", 0, 7, weekday_names}, c.weekdays_));
  c.any_day_ = fields[2].starts_with('*');
  c.any_weekday_ = fields[4].starts_with('*');
  // The library throws for a name it does not know; the boundary of an expected failure is here.
  try {
    c.zone_ = date::locate_zone(std::string(time_zone));
  } catch (const std::exception&) {
    return fail(ErrorCode::invalid, fmt::format("there is no time zone '{}'", time_zone), "timezone",
                "Use a name such as America/Los_Angeles or UTC (`timedatectl list-timezones`).");
  }
  return c;
}

bool Cron::fits_day(int day) const {
  date::year_month_day ymd{date::local_days{date::days{day}}};
  if (!months_.test(static_cast<unsigned>(ymd.month()))) return false;
  bool by_day = days_.test(static_cast<unsigned>(ymd.day()));
  bool by_weekday = weekdays_.test(date::weekday{date::local_days{date::days{day}}}.c_encoding());
  return any_day_ || any_weekday_ ? by_day && by_weekday : by_day || by_weekday;
}

// The time on that local day nearest to the bound: the last at or before it, or the first after it.
std::optional<Time> Cron::on_day(int day, Time bound, bool backwards) const {
  for (int i = 0; i < 24 * 60; ++i) {
    int minute = backwards ? 24 * 60 - 1 - i : i;
    if (!hours_.test(static_cast<std::size_t>(minute / 60)) || !minutes_.test(static_cast<std::size_t>(minute % 60)))
      continue;
    Time t = zone_->to_sys(date::local_days{date::days{day}} + std::chrono::minutes(minute), date::choose::earliest);
    if (backwards ? t <= bound : t > bound) return t;
  }
  return std::nullopt;
}

std::optional<Time> Cron::last(Time t) const {
  int today = static_cast<int>(local_day(zone_, t).time_since_epoch().count());
  // From tomorrow: a zone that is set back over midnight has a time of the next day before one of this day.
  for (int day = today + 1; day > today - furthest; --day)
    if (fits_day(day))
      if (auto found = on_day(day, t, true)) return found;
  return std::nullopt;
}

std::optional<Time> Cron::next(Time t) const {
  int today = static_cast<int>(local_day(zone_, t).time_since_epoch().count());
  for (int day = today - 1; day < today + furthest; ++day)
    if (fits_day(day))
      if (auto found = on_day(day, t, false)) return found;
  return std::nullopt;
}

}  // namespace mayfly::plan
