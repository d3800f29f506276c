#pragma once
// What went wrong around a job that its exit code does not say: memory and disk.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mayfly::agent {

// The number after "oom_kill" in memory.events (v2) or memory.oom_control (v1).
std::optional<std::uint64_t> parse_oom_kills(std::string_view text);

class OomWatch {
 public:
  explicit OomWatch(int fd);  // not owned; -1: the host cannot tell
  bool happened() const;      // since construction
 private:
  std::optional<std::uint64_t> count() const;
  int fd_;
  std::optional<std::uint64_t> before_;
};

// Notices that a writable file system had next to no room left. Polled: a job that fills its disk, fails and cleans up
// between two looks is taken for one that just failed.
class DiskWatch {
 public:
  explicit DiskWatch(std::vector<std::string> paths);
  void look();
  const std::string& full() const { return full_; }  // path of the one that was; empty: none
 private:
  std::vector<std::string> paths_;
  std::string full_;
};

}  // namespace mayfly::agent
