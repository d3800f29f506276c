#pragma once
// The daemon's own log: one line an event on stderr, "TIME LEVEL what key=value …", or JSON lines when asked. What
// users must be able to rely on afterwards goes to the ledger, not here. Any thread.
#include <fmt/format.h>
#include <string_view>

namespace mayfly {

enum class LogLevel { debug, info, warning, error };

// Passed by reference from main to whoever logs; immutable after construction, and each line is one write().
class Log {
 public:
  explicit Log(LogLevel threshold = LogLevel::info, int fd = 2) : threshold_(threshold), fd_(fd) {}
  template <class... A>
  void debug(fmt::format_string<A...> f, A&&... a) const {
    put(LogLevel::debug, fmt::format(f, std::forward<A>(a)...));
  }
  template <class... A>
  void info(fmt::format_string<A...> f, A&&... a) const {
    put(LogLevel::info, fmt::format(f, std::forward<A>(a)...));
  }
  template <class... A>
  void warning(fmt::format_string<A...> f, A&&... a) const {
    put(LogLevel::warning, fmt::format(f, std::forward<A>(a)...));
  }
  template <class... A>
  void error(fmt::format_string<A...> f, A&&... a) const {
    put(LogLevel::error, fmt::format(f, std::forward<A>(a)...));
  }

 private:
  void put(LogLevel level, std::string_view text) const;
  LogLevel threshold_;
  int fd_;
};

}  // namespace mayfly
