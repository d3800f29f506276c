#pragma once
// How a job's output lies on disk. `log` holds the bytes of both streams in the order in which the agent read them;
// `log.index` says for each stretch which stream it was and when. Offsets into a log are offsets into `log`, so any
// offset is a valid place to go on reading. The agent appends to `log` first: bytes that no record covers are not there
// yet.
#include <cstdint>
#include <cstring>

#include "base/clock.h"

namespace mayfly {

enum class LogStream : std::uint8_t {
  out = 1,
  err = 2,
  mayfly = 3 /* a remark by Mayfly itself, such as a truncation */
};

struct LogRecord {
  static constexpr std::size_t size = 24;  // on disk, little-endian: end, at, stream, 7 zeros
  std::uint64_t end = 0;                   // offset just after this stretch
  Time at{};
  LogStream stream = LogStream::out;
};

inline void encode(const LogRecord& r, unsigned char (&bytes)[LogRecord::size]) {
  std::int64_t at = to_micros(r.at);
  std::memset(bytes, 0, sizeof bytes);
  std::memcpy(bytes, &r.end, 8);
  std::memcpy(bytes + 8, &at, 8);
  bytes[16] = static_cast<unsigned char>(r.stream);
}

inline LogRecord decode_log_record(const unsigned char* bytes) {
  LogRecord r;
  std::int64_t at = 0;
  std::memcpy(&r.end, bytes, 8);
  std::memcpy(&at, bytes + 8, 8);
  r.at = from_micros(at);
  r.stream = static_cast<LogStream>(bytes[16]);
  return r;
}

}  // namespace mayfly
