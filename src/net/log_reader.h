#pragma once
// Reads a job's log from any offset while an agent appends to it (model/log_index.h). No waiting, no threads: plain
// files.
#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "model/log_index.h"

namespace mayfly::net {

// A frame of application/vnd.mayfly.log: stream, 3 zeros, u32 LE length, u64 LE offset of its first byte in the log.
inline constexpr std::size_t log_frame_header = 16;
inline constexpr std::string_view log_frame_type = "application/vnd.mayfly.log";
inline constexpr std::uint8_t log_frame_keepalive = 0;
void put_log_frame_header(char* to, std::uint8_t stream, std::uint32_t length, std::uint64_t offset);

class LogReader {
 public:
  static constexpr std::size_t max_chunk = 128 << 10;

  LogReader(std::string log_path, std::string index_path, std::uint64_t offset)
      : log_path_(std::move(log_path)), index_path_(std::move(index_path)), position_(offset) {}

  // false: the files are not there yet (the job has not been assigned).
  Result<bool> open();
  // Puts what follows the position into `out` (replacing it): at most max_chunk bytes of log, with frame headers if
  // asked. Empty: nothing more for now. internal: the files contradict each other.
  Result<void> read(std::string& out, bool framed);
  std::uint64_t position() const { return position_; }

 private:
  Result<std::uint64_t> find_record(std::uint64_t count);
  Result<void> fill(std::string& out, bool framed);

  std::string log_path_, index_path_;
  Fd log_, index_;
  std::uint64_t position_;
  std::uint64_t record_ = 0;  // the first that may reach beyond position_
  bool found_ = false;
};

}  // namespace mayfly::net
