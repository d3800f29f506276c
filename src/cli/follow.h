#pragma once
// A job's log as it comes, over broken connections and restarts of the daemon.
#include <cstdint>
#include <functional>
#include <string_view>

#include "cli/connection.h"
#include "cli/interrupt.h"
#include "model/log_index.h"

namespace mayfly {

// Takes application/vnd.mayfly.log apart as it arrives; holds no more of it than a frame's head.
class FrameParser {
 public:
  explicit FrameParser(std::uint64_t offset) : next_(offset) {}
  using Sink = std::function<bool(LogStream, std::string_view)>;

  // False once the sink wants no more. Bytes that were seen before are not given twice.
  Result<bool> feed(std::string_view bytes, const Sink& sink);
  std::uint64_t next() const { return next_; }        // the offset from which to go on
  std::uint64_t skipped() const { return skipped_; }  // bytes that the daemon no longer had
  void restart() { head_.clear(), left_ = 0; }        // a new connection

 private:
  Result<void> begin_frame();

  std::string head_;
  std::uint8_t stream_ = 0;
  std::uint64_t left_ = 0, at_ = 0, next_, skipped_ = 0;
};

struct FollowOptions {
  std::uint64_t job = 0;
  std::uint64_t offset = 0;
  bool follow = true;
  FrameParser::Sink sink;
  std::function<bool()> on_wake;  // every tick and on an interrupt; false gives up
  milliseconds tick = milliseconds(250);
  seconds patience = seconds(60);  // with a daemon that went away
};

struct Followed {
  bool stopped = false;      // by the sink or on_wake
  std::uint64_t offset = 0;  // where the log ended
};

// Until the log's end (with follow: the job's end). Says on stderr, once for each time, that the connection was lost.
Result<Followed> follow_log(Api& api, const FollowOptions& options, const Interrupts& interrupts, Output& output);

// Asks for the job, patiently: the daemon may be restarting.
Result<Job> patient_job(Api& api, std::uint64_t job, seconds patience, const std::function<bool()>& on_wake,
                        const Interrupts& interrupts, Output& output);

// Waits between tries, longer each time, until patience is at an end; complains once.
class Patience {
 public:
  Patience(seconds limit, const Interrupts& interrupts, Output& output)
      : limit_(limit), interrupts_(interrupts), output_(output) {}
  // After a failure: false when it is not worth trying again.
  bool again(const Error& error);
  void progress() { tries_ = 0; }

 private:
  seconds limit_;
  const Interrupts& interrupts_;
  Output& output_;
  int tries_ = 0;
  std::chrono::steady_clock::time_point since_;
};

}  // namespace mayfly
