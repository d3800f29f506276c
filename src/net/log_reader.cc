#include "net/log_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <vector>

#include <fmt/format.h>

namespace mayfly::net {
namespace {

constexpr std::size_t records_at_once = 1000;  // below IOV_MAX, so that one preadv fills all frames

Result<Fd> open_existing(const std::string& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno != ENOENT) return Unexpected(errno_error("cannot open the log", errno, path));
  return fd;
}

struct Run {
  LogStream stream;
  std::size_t length;
};

}  // namespace

void put_log_frame_header(char* to, std::uint8_t stream, std::uint32_t length, std::uint64_t offset) {
  std::memset(to, 0, log_frame_header);
  to[0] = static_cast<char>(stream);
  for (int i = 0; i < 4; ++i) to[4 + i] = static_cast<char>(length >> (8 * i) & 255);
  for (int i = 0; i < 8; ++i) to[8 + i] = static_cast<char>(offset >> (8 * i) & 255);
}

Result<bool> LogReader::open() {
  if (!index_) {
    MAYFLY_ASSIGN(index_, open_existing(index_path_));
  }
  if (index_ && !log_) {
    MAYFLY_ASSIGN(log_, open_existing(log_path_));
  }
  return index_ && log_;
}

// The first record that ends beyond the position, by binary search: ends only grow.
Result<std::uint64_t> LogReader::find_record(std::uint64_t count) {
  std::uint64_t low = 0, high = count;
  while (low < high) {
    std::uint64_t middle = low + (high - low) / 2;
    unsigned char bytes[LogRecord::size];
    if (::pread(index_.get(), bytes, sizeof bytes, static_cast<off_t>(middle * LogRecord::size)) != sizeof bytes)
      return Unexpected(errno_error("cannot read the log's index", errno, index_path_));
    if (decode_log_record(bytes).end > position_)
      high = middle;
    else
      low = middle + 1;
  }
  return low;
}

Result<void> LogReader::read(std::string& out, bool framed) {
  out.clear();
  if (!found_) {
    struct stat st{};
    if (::fstat(index_.get(), &st) != 0)
      return Unexpected(errno_error("cannot read the log's index", errno, index_path_));
    MAYFLY_ASSIGN(record_, find_record(static_cast<std::uint64_t>(st.st_size) / LogRecord::size));
    found_ = true;
  }
  return fill(out, framed);
}

Result<void> LogReader::fill(std::string& out, bool framed) {
  static thread_local std::array<unsigned char, records_at_once * LogRecord::size> bytes;
  std::vector<Run> runs;
  std::size_t total = 0;
  std::uint64_t at = position_;
  while (total == 0) {  // goes round again only past records that lie wholly before the position
    ssize_t n = ::pread(index_.get(), bytes.data(), bytes.size(), static_cast<off_t>(record_ * LogRecord::size));
    if (n < 0) return Unexpected(errno_error("cannot read the log's index", errno, index_path_));
    auto count = static_cast<std::size_t>(n) / LogRecord::size;  // a record half written is not there yet
    if (count == 0) return {};
    for (std::size_t i = 0; i < count && total < max_chunk; ++i) {
      auto record = decode_log_record(bytes.data() + i * LogRecord::size);
      if (record.end > at) {
        auto length = static_cast<std::size_t>(std::min<std::uint64_t>(record.end - at, max_chunk - total));
        if (!runs.empty() && (!framed || runs.back().stream == record.stream))
          runs.back().length += length;
        else
          runs.push_back({record.stream, length});
        total += length;
        at += length;
      } else if (total > 0 && record.end < at) {
        return fail(ErrorCode::internal, fmt::format("record {} of the log's index goes backwards", record_),
                    index_path_);
      }
      if (record.end <= at) ++record_;
    }
  }
  std::size_t header = framed ? log_frame_header : 0;
  out.resize(total + header * runs.size());
  std::vector<iovec> io;
  std::uint64_t offset = position_;
  char* to = out.data();
  for (const auto& run : runs) {
    if (framed)
      put_log_frame_header(to, static_cast<std::uint8_t>(run.stream), static_cast<std::uint32_t>(run.length), offset);
    io.push_back({to + header, run.length});
    to += header + run.length;
    offset += run.length;
  }
  ssize_t n = ::preadv(log_.get(), io.data(), static_cast<int>(io.size()), static_cast<off_t>(position_));
  if (n != static_cast<ssize_t>(total))
    return fail(ErrorCode::internal, fmt::format("the log ends before byte {}, which its index says is there", at),
                log_path_);
  position_ = at;
  return {};
}

}  // namespace mayfly::net
