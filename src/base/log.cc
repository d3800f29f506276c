#include "base/log.h"

#include <unistd.h>

#include "base/clock.h"

namespace mayfly {

void Log::put(LogLevel level, std::string_view text) const {
  if (level < threshold_) return;
  static constexpr const char* names[] = {"debug", "info", "warning", "error"};
  auto line = fmt::format("{} {} {}\n", format_time(SystemClock().now()), names[static_cast<int>(level)], text);
  // A log that cannot be written must not stop the daemon.
  [[maybe_unused]] auto n = ::write(fd_, line.data(), line.size());
}

}  // namespace mayfly
