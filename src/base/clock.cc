#include "base/clock.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace mayfly {

std::string format_time(Time t) {
  auto whole = std::chrono::floor<seconds>(t);
  auto ms = std::chrono::duration_cast<milliseconds>(t - whole).count();
  std::time_t tt = whole.time_since_epoch().count();
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(tt), ms);
}

std::string format_duration(Duration d) {
  double s = std::chrono::duration<double>(d).count();
  if (s < 0) return "-" + format_duration(-d);
  if (s < 0.001) return fmt::format("{} µs", d.count());
  if (s < 0.1) return fmt::format("{:.1f} ms", s * 1e3);
  if (s < 1) return fmt::format("{:.0f} ms", s * 1e3);
  if (s < 60) return fmt::format("{:.1f} s", s);
  auto whole = static_cast<std::int64_t>(s);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
  return fmt::format("{} d {} h", whole / 86400, whole / 3600 % 24);
}

}  // namespace mayfly
