#pragma once
// From the job's pipes, through the maskers, to the log. Reads only while the log takes it.
#include <poll.h>

#include <memory>
#include <vector>

#include "agent/log_writer.h"
#include "agent/mask.h"
#include "base/fd.h"

namespace mayfly::agent {

class Pump {
 public:
  Pump(LogWriter writer, const std::vector<std::string>& patterns);

  void attach(Fd out, Fd err);
  void add_interest(std::vector<pollfd>& fds, Instant now) const;
  void ready(const pollfd& fd, Instant now);  // for any descriptor; foreign ones are ignored
  void tick(Instant now);
  Instant wake_at() const;  // Instant::max(): nothing to wait for but the descriptors

  // Both streams are over and all is written.
  bool drained() const { return !out_.fd && !err_.fd && !writer_.blocked(); }
  bool blocked() const { return writer_.blocked(); }
  // No more is read; flushes what the maskers hold. Call tick() until !blocked().
  void close(Instant now);
  void give_up() { writer_.give_up(); }
  const LogWriter& log() const { return writer_; }

 private:
  struct Stream {
    Fd fd;
    Masker masker;
    LogStream name;
    bool finished = false;
  };
  void read_some(Stream& s, Instant now);
  void finish(Stream& s, Instant now);

  LogWriter writer_;
  Stream out_, err_;
  std::unique_ptr<char[]> buffer_;
  std::string masked_;
  Instant rest_until_{};
};

}  // namespace mayfly::agent
