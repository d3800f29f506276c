#pragma once
// Time as the rest of the program sees it: microseconds since the Unix epoch, UTC. Code that decides takes `now` as an
// argument; only the loops at the edge ask a Clock, so that a simulation can supply its own.
#include <chrono>
#include <string>

namespace mayfly {

using Duration = std::chrono::microseconds;
using Time = std::chrono::sys_time<std::chrono::microseconds>;
using std::chrono::milliseconds;
using std::chrono::seconds;

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Time now() const = 0;  // any thread
  // Time that passes evenly, from any beginning on, whatever becomes of the wall clock. A clock that never jumps needs
  // none of its own. Any thread.
  virtual Duration steady() const { return now().time_since_epoch(); }
};

class SystemClock final : public Clock {
 public:
  Time now() const override { return std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now()); }
  Duration steady() const override {
    return std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch());
  }
};

inline std::int64_t to_micros(Time t) { return t.time_since_epoch().count(); }
inline Time from_micros(std::int64_t us) { return Time(Duration(us)); }

// "2026-11-22T12:47:03.120Z": RFC 3339, UTC, milliseconds.
std::string format_time(Time t);
// "1.2 s", "350 ms", "4 min 10 s": for people.
std::string format_duration(Duration d);

}  // namespace mayfly
