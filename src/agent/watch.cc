#include "agent/watch.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include <charconv>
#include <utility>

#include "base/text.h"

namespace mayfly::agent {
namespace {

constexpr std::uint64_t next_to_nothing = 64U << 10;

bool has_room(const std::string& path) {
  struct statvfs s{};
  if (::statvfs(path.c_str(), &s) != 0 || (s.f_flag & ST_RDONLY) != 0) return true;
  return s.f_blocks == 0 /* no limit */ || s.f_bavail * s.f_frsize >= next_to_nothing;
}

}  // namespace

std::optional<std::uint64_t> parse_oom_kills(std::string_view text) {
  for (const auto& line : split(text, '\n')) {
    constexpr std::string_view key = "oom_kill ";
    if (!line.starts_with(key)) continue;
    std::uint64_t n = 0;
    auto [end, ec] = std::from_chars(line.data() + key.size(), line.data() + line.size(), n);
    if (ec == std::errc()) return n;
  }
  return std::nullopt;
}

OomWatch::OomWatch(int fd) : fd_(fd), before_(count()) {}

std::optional<std::uint64_t> OomWatch::count() const {
  char text[1024];
  auto n = fd_ >= 0 ? ::pread(fd_, text, sizeof text, 0) : -1;
  if (n <= 0) return std::nullopt;
  return parse_oom_kills({text, static_cast<std::size_t>(n)});
}

bool OomWatch::happened() const {
  auto now = count();
  return before_ && now && *now > *before_;
}

DiskWatch::DiskWatch(std::vector<std::string> paths) : paths_(std::move(paths)) {
  // One that is full from the start (a read-only image, say) tells nothing about the job.
  std::erase_if(paths_, [](const std::string& p) { return !has_room(p); });
}

void DiskWatch::look() {
  for (const auto& p : paths_)
    if (full_.empty() && !has_room(p)) full_ = p;
}

}  // namespace mayfly::agent
