// The two state machines: builder life and job life.
#include "model/builder.h"
#include "model/job.h"

namespace mayfly {

bool is_final(JobState s) { return s != JobState::queued && s != JobState::assigned && s != JobState::running; }

bool may_follow(JobState from, JobState to) {
  if (is_final(from)) return false;  // a job ends exactly once
  switch (to) {
    case JobState::queued:
      return from == JobState::assigned || from == JobState::running;  // a repeat
    case JobState::assigned:
      return from == JobState::queued;
    case JobState::running:
      return from == JobState::assigned;
    case JobState::succeeded:
      return from == JobState::running;
    default:
      return true;
  }
}

bool may_follow(BuilderState from, BuilderState to) {
  if (is_final(from)) return false;
  if (to == BuilderState::lost || to == BuilderState::stopping) return from != to;
  switch (to) {
    case BuilderState::starting:
      return from == BuilderState::requested;
    case BuilderState::ready:
      return from == BuilderState::starting;
    case BuilderState::busy:
      return from == BuilderState::starting || from == BuilderState::ready;
    case BuilderState::gone:
      return from == BuilderState::stopping;
    default:
      return false;
  }
}

JobState final_state(const JobResult& r) {
  switch (r.cause) {
    case JobCause::exited:
      return r.exit_code == 0 ? JobState::succeeded : JobState::failed;
    case JobCause::timed_out:
      return JobState::timed_out;
    case JobCause::cancelled:
      return JobState::cancelled;
    case JobCause::builder_lost:
      return JobState::lost;
    default:
      return JobState::failed;
  }
}

int client_exit_code(const JobResult& r) {
  switch (r.cause) {
    case JobCause::exited:
    case JobCause::disk_full:
      return r.exit_code;
    case JobCause::signalled:
      return 128 + r.signal;
    case JobCause::oom_killed:
      return r.signal != 0 ? 128 + r.signal : r.exit_code;
    case JobCause::timed_out:
      return 124;
    case JobCause::cancelled:
      return 130;
    case JobCause::command_not_found:
      return 127;
    case JobCause::not_executable:
      return 126;
    default:
      return 125;
  }
}

std::string secret_variable(std::string_view secret_name) {
  std::string out;
  for (char c : secret_name) {
    bool letter = (c >= 'a' && c <= 'z'), kept = (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    out += letter ? static_cast<char>(c - 'a' + 'A') : kept ? c : '_';
  }
  return out;
}

}  // namespace mayfly
