#pragma once
// What the daemon and the agent inside a builder say to each other over the builder's unix stream socket.
//
// A frame is a 32-bit little-endian length and that many bytes of JSON. The daemon connects, the agent listens; one
// connection at a time, and a new one replaces the old, so that a restarted daemon can pick up its builders. On
// connecting the agent says `hello`, with all that it knows, so a lost message is never needed again:
//
//   daemon → agent   assign (with file descriptors, in the order log, index, result[, input][, output]), begin, cancel,
//                    release
//   agent → daemon   hello, started, finished, refused
//
// `assign` is idempotent by job id: an agent that already has this job answers with its state. An agent that has had a
// job never takes another. With `hold` an agent only makes ready: it has the job once `begin` names it, and forgets it
// when the line ends before.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/job.h"

namespace mayfly::agent {

// 2: the agent has its system call filter from its launcher, not from `assign`. 3: `hold` and `begin`.
inline constexpr int protocol_version = 3;
inline constexpr std::uint32_t max_frame = 8u << 20;  // bytes; environment, script and secrets fit well within

struct Assign {
  JobId job = 0;
  std::vector<std::string> argv;               // or
  std::string script;                          // run by its #! line, or by /bin/sh -e
  std::map<std::string, std::string> env;      // complete: the image's, Mayfly's and the job's, merged by control
  std::map<std::string, std::string> secrets;  // variable → value: added to env, and masked in the output
  std::string user;                            // as in the image's configuration
  Duration timeout{};                          // counted from the start of the process, by the agent itself
  Duration grace{};                            // between SIGTERM and SIGKILL
  std::int64_t log_limit = 0;                  // bytes
  bool has_input = false;
  std::string output;  // what to pack at the end; empty: nothing
  bool hold = false;   // not before `begin`
};
struct Begin {
  JobId job = 0;
};
struct Cancel {
  JobId job = 0;
};
struct Release {};

struct Finished {
  JobId job = 0;
  JobResult result;
  Time started_at{}, ended_at{};  // started_at is the epoch if the process never ran
  std::int64_t log_bytes = 0;
  bool log_truncated = false;
};
struct Hello {
  int version = protocol_version;
  JobId job = 0;                     // 0: ready for one
  Time started_at{};                 // set once the job's process runs
  std::optional<Finished> finished;  // set once it ended
};
struct Started {
  JobId job = 0;
  Time at{};
};
struct Refused {
  JobId job = 0;
  std::string why;
};

using ToAgent = std::variant<Assign, Begin, Cancel, Release>;
using FromAgent = std::variant<Hello, Started, Finished, Refused>;

// JSON text, without the length in front.
std::string encode(const ToAgent& message);
std::string encode(const FromAgent& message);
// Strict about types and limits, lenient about unknown members (a newer peer may send them).
Result<ToAgent> decode_to_agent(std::string_view json);
Result<FromAgent> decode_from_agent(std::string_view json);

// The result file: the JSON of a Finished.
std::string encode_result(const Finished& finished);
Result<Finished> decode_result(std::string_view json);

// Length and text.
std::string frame(std::string_view json);

}  // namespace mayfly::agent
