#pragma once
// A job: one unit of work, from a CI system or from `mayfly run`. Values and their state machine; no I/O.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/reason.h"

namespace mayfly {

using JobId = std::uint64_t;    // 1, 2, 3, … per state directory; never reused
using BuilderId = std::string;  // "<pool>-<number>", a DNS label: it is the builder's hostname; never reused
using PoolName = std::string;

enum class JobState { queued, assigned, running, succeeded, failed, cancelled, timed_out, lost };
std::string_view to_string(JobState s);
std::optional<JobState> job_state_from(std::string_view name);
bool is_final(JobState s);
// Whether a job may go from one state to another: queued → assigned → running → an end; back to queued only by a
// repeat.
bool may_follow(JobState from, JobState to);

// How a job ended, each fault as itself. The exit code that `mayfly run` passes on follows from it.
enum class JobCause {
  none,                // not ended yet
  exited,              // by itself, with exit_code
  signalled,           // its main process was ended by `signal`, not by Mayfly and not for memory
  oom_killed,          // the kernel ended a process of it for exceeding the memory limit
  disk_full,           // it failed after its workspace had filled up
  timed_out,           // Mayfly stopped it at its time limit
  cancelled,           // somebody asked
  command_not_found,   // the command is not in the image (127)
  not_executable,      // it is, but cannot be executed (126)
  image_unavailable,   // the image does not exist or cannot be used
  start_failed,        // no builder could be started for it
  secret_unavailable,  // a secret it names does not exist or is not allowed
  input_failed,        // the uploaded directory could not be unpacked
  output_failed,       // the directory to download could not be packed; the job itself had succeeded
  builder_lost,        // the builder went away under it: an infrastructure loss
};
std::string_view to_string(JobCause c);
std::optional<JobCause> job_cause_from(std::string_view name);

struct JobResult {
  JobCause cause = JobCause::none;
  int exit_code = 0;
  int signal = 0;
  std::string message;  // for people; empty when there is nothing to add to the cause
};

// The state that a job with this result ends in.
JobState final_state(const JobResult& result);
// What `mayfly run` exits with: the job's own code, 128+signal, 124 timed out, 125 Mayfly's own failures, 126, 127, 130
// cancelled.
int client_exit_code(const JobResult& result);

struct JobSpec {
  PoolName pool;                     // empty with labels: settled when the job gets its builder
  std::vector<std::string> labels;   // any pool that has them all may take it; exclusive with a pool of one's own
  std::string name;                  // for people; may be empty
  std::vector<std::string> command;  // argv; exclusive with script
  std::string script;                // run by /bin/sh -e in the builder, or by its own #! line
  std::map<std::string, std::string> env;
  std::vector<std::string> secrets;  // names; each reaches the job as an environment variable (see secret_variable)
  std::optional<Duration> timeout;   // the pool's when not given; never more than the pool's
  int priority = 0;                  // higher first
  std::string input;                 // id of an upload (a tar) to unpack into the workspace; empty: none
  std::string output;                // directory (below the workspace, or absolute) packed at the end; empty: none
  bool repeatable = false;           // declared safe to run again after an infrastructure loss
  std::string submitter;             // who asked, as the API authenticated them: the unit of fairness
  // Variables whose values came with the request. The values are in the daemon's memory alone, and gone with it.
  std::vector<std::string> one_time_secrets;

  bool operator==(const JobSpec&) const = default;
};

// "npm-token" → "NPM_TOKEN".
std::string secret_variable(std::string_view secret_name);

// The CI's side of a job that came from a CI system.
struct CiRecord {
  std::string id, url, name;  // of the CI's job: the one that this was made for, then the one that its runner took
  std::string runner;         // the name that its builder is registered under at the CI; empty: not yet
  bool taken = false;         // the CI says that this runner took the job `id`
  std::string result;         // the CI's own word for how it ended
  Time queued_at{}, started_at{}, ended_at{};  // by the CI's clock

  bool operator==(const CiRecord&) const = default;
};

struct Job {
  JobId id = 0;
  JobSpec spec;
  JobState state = JobState::queued;
  Reason waiting;             // meaningful while queued: why it is not running yet, and since when
  BuilderId builder;          // the one it is assigned to; kept after the end
  std::string image_digest;   // what that builder ran
  std::string image_version;  // "general@2.4.1", where it was a released version
  JobResult result;           // before the end: how its builder ended it, while the CI is asked what became of it
  int attempt = 1;
  BuilderId lost_on;            // the builder that was lost under the first attempt: the second is made elsewhere
  Duration timeout{}, grace{};  // as its builder was told, whatever the pool's are by now; 0 until then
  bool cancel_requested = false;
  Time queued_at{}, assigned_at{}, started_at{}, ended_at{};  // epoch where it has not happened
  std::int64_t log_bytes = 0;                                 // at the end
  bool log_truncated = false;
  std::string ci = "builtin";   // where it came from
  CiRecord external;            // not of builtin ones
  std::string idempotency_key;  // the client's, so that a repeated request makes no second job
};

}  // namespace mayfly
