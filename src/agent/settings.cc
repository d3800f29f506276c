#include "agent/settings.h"

#include <charconv>
#include <cstring>
#include <string_view>

#include "agent/options.h"

namespace mayfly::agent {
namespace {

Result<int> number(std::string_view flag, std::string_view text) {
  int value = -1;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc() || end != text.data() + text.size() || value < 0)
    return fail(ErrorCode::invalid, "'" + std::string(text) + "' is not a number from 0 on", std::string(flag));
  return value;
}

}  // namespace

Result<Settings> parse_settings(int argc, const char* const* argv) {
  Settings s;
  s.orphan_grace = milliseconds(default_orphan_grace_ms);
  for (int i = 1; i < argc; i += 2) {
    std::string_view flag = argv[i];
    if (i + 1 >= argc) return fail(ErrorCode::invalid, "needs a value", std::string(flag));
    std::string_view value = argv[i + 1];
    if (flag == hostname_flag) {
      s.hostname = value;
      continue;
    }
    MAYFLY_ASSIGN(int n, number(flag, value));
    if (flag == listen_fd_flag)
      s.listen_fd = n;
    else if (flag == oom_fd_flag)
      s.oom_fd = n;
    else if (flag == hold_fd_flag)
      s.hold_fd = n;
    else if (flag == seccomp_fd_flag)
      s.seccomp_fd = n;
    else if (flag == orphan_grace_flag)
      s.orphan_grace = milliseconds(n);
    else
      return fail(ErrorCode::invalid, "unknown flag", std::string(flag));
  }
  if (s.listen_fd < 0) return fail(ErrorCode::invalid, "is required", listen_fd_flag);
  return s;
}

}  // namespace mayfly::agent
