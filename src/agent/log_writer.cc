#include "agent/log_writer.h"

#include <sys/stat.h>

#include <cerrno>

#include "base/text.h"

namespace mayfly::agent {
namespace {

constexpr auto retry_interval = milliseconds(250);

std::uint64_t size_of(int fd) {
  struct stat st{};
  return ::fstat(fd, &st) == 0 ? static_cast<std::uint64_t>(st.st_size) : 0;
}

}  // namespace

LogWriter::LogWriter(Fd log, Fd index, std::int64_t limit)
    : log_(std::move(log)),
      index_(std::move(index)),
      limit_(limit > 0 ? static_cast<std::uint64_t>(limit) : UINT64_MAX) {
  log_end_ = size_of(log_.get());
  index_end_ = size_of(index_.get()) / LogRecord::size * LogRecord::size;
}

void LogWriter::append(LogStream stream, std::string_view data, Instant now) {
  if (data.empty() || truncated_) return;
  std::uint64_t room = limit_ - kept_;
  auto kept = data.substr(0, std::min<std::uint64_t>(room, data.size()));
  if (!kept.empty()) {
    put(stream, kept, now);
    kept_ += kept.size();
    line_open_ = kept.back() != '\n';
  }
  if (kept.size() == data.size()) return;
  truncated_ = true;
  put(LogStream::mayfly,
      std::string(line_open_ ? "\n" : "") + "mayfly: the log has reached its limit of " +
          format_bytes(static_cast<std::int64_t>(limit_)) + "; the rest of the output is dropped\n",
      now);
}

void LogWriter::put(LogStream stream, std::string_view data, Instant now) {
  if (broken_ != 0) return;
  Piece piece{stream, {}, SystemClock().now()};
  if (pending_.empty() && write_piece(piece, data, now)) return;
  if (broken_ != 0) return;
  piece.data = data;
  pending_.push_back(std::move(piece));
}

void LogWriter::retry(Instant now) {
  while (!pending_.empty() && write_piece(pending_.front(), pending_.front().data, now)) pending_.pop_front();
}

void LogWriter::give_up() {
  if (pending_.empty()) return;
  pending_.clear();
  truncated_ = true;
}

bool LogWriter::write_piece(Piece& piece, std::string_view data, Instant now) {
  if (!write_some(log_.get(), data, log_end_, piece.data_done, now)) return false;
  unsigned char record[LogRecord::size];
  encode(LogRecord{log_end_, piece.at, piece.stream}, record);
  return write_some(index_.get(), {reinterpret_cast<const char*>(record), sizeof record}, index_end_, piece.record_done,
                    now);
}

bool LogWriter::write_some(int fd, std::string_view bytes, std::uint64_t& end, std::size_t& done, Instant now) {
  while (done < bytes.size()) {
    auto n = ::pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(end));
    if (n > 0) {
      done += static_cast<std::size_t>(n);
      end += static_cast<std::uint64_t>(n);
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != ENOSPC && errno != EDQUOT && errno != EAGAIN) {
      // Nothing later can be written in order either: let the job run on, and say in its result that the log is cut.
      broken_ = errno;
      truncated_ = true;
      pending_.clear();
      return false;
    }
    retry_at_ = now + retry_interval;
    return false;
  }
  return true;
}

}  // namespace mayfly::agent
