#pragma once
// Times given as cron expressions in a time zone: "0 5 * * MON-FRI" in America/Los_Angeles. Pure but for the system's
// time zone database, which is read once per zone.
//
// Five fields: minute, hour, day of month, month, day of week; each *, a number, a name (JAN…, MON…), a range, a list,
// or any of these with a step. Both 0 and 7 are Sunday. As cron does, a day must fit both day fields, but one of the
// two when neither is *. In the hour that a clock change skips, a time that does not exist happens at the change; in
// the hour that it repeats, a time happens once, the first time.
#include <bitset>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"

namespace date {
class time_zone;
}

namespace mayfly::plan {

class Cron {
 public:
  static Result<Cron> parse(std::string_view expression, std::string_view time_zone);

  // The last time at or before `t`, the first after it; nothing where there is none within nine years ("30 FEB").
  std::optional<Time> last(Time t) const;
  std::optional<Time> next(Time t) const;

 private:
  Cron() = default;
  std::optional<Time> on_day(int day, Time bound, bool backwards) const;
  bool fits_day(int day) const;

  std::bitset<60> minutes_;
  std::bitset<24> hours_;
  std::bitset<32> days_;
  std::bitset<13> months_;
  std::bitset<7> weekdays_;
  bool any_day_ = false, any_weekday_ = false;
  const date::time_zone* zone_ = nullptr;
};

}  // namespace mayfly::plan
