#pragma once
// Appends a job's output to the host's files: data first, then the record that covers it (model/log_index.h), so that a
// reader never sees a record without its bytes. When the host's disk is full it keeps what it has and says `blocked`;
// the caller then stops reading, the job stops at its full pipe, and no byte is lost.
#include <chrono>
#include <deque>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/fd.h"
#include "model/log_index.h"

namespace mayfly::agent {

using Instant = std::chrono::steady_clock::time_point;

class LogWriter {
 public:
  // Goes on at the files' ends. limit: bytes of the job's output that are kept; 0 or less: all.
  LogWriter(Fd log, Fd index, std::int64_t limit);

  void append(LogStream stream, std::string_view data, Instant now);
  void retry(Instant now);  // when blocked, after retry_at()
  void give_up();           // drop what could not be written, for good

  bool blocked() const { return !pending_.empty(); }
  Instant retry_at() const { return retry_at_; }
  bool truncated() const { return truncated_; }
  std::uint64_t log_bytes() const { return log_end_; }
  std::uint64_t index_bytes() const { return index_end_; }
  int broken() const { return broken_; }  // errno of a failure other than a full disk: the rest is dropped

 private:
  struct Piece {
    LogStream stream;
    std::string data;
    Time at;
    std::size_t data_done = 0;
    std::size_t record_done = 0;
  };
  void put(LogStream stream, std::string_view data, Instant now);
  bool write_piece(Piece& piece, std::string_view data, Instant now);  // false: blocked or broken
  bool write_some(int fd, std::string_view bytes, std::uint64_t& end, std::size_t& done, Instant now);

  Fd log_, index_;
  std::uint64_t log_end_ = 0, index_end_ = 0;
  std::uint64_t kept_ = 0, limit_ = 0;
  bool truncated_ = false, line_open_ = false;
  int broken_ = 0;
  std::deque<Piece> pending_;
  Instant retry_at_{};
};

}  // namespace mayfly::agent
