#pragma once
// The agent's loop: the line to the daemon, the job, its processes and the clock, in one thread around poll().
#include <optional>

#include "agent/connection.h"
#include "agent/job_run.h"
#include "agent/settings.h"

namespace mayfly::agent {

class Agent {
 public:
  explicit Agent(const Settings& settings);
  // Must be PID 1 of a pid namespace. Returns when it is time for the container to end.
  Result<void> run();

 private:
  void round();
  void reap(Instant now);
  void warm_up();
  void read_signals(Instant now);
  void serve_peer(Instant now);
  void take(Assign order, Instant now);
  void take(const Begin& order, Instant now);
  void take(const Cancel& cancel, Instant now);
  void take(const Release& release, Instant now);
  void begin(Instant now);
  void drop_held();
  bool has_job() const { return job_ && !held_; }
  bool idle() const { return !has_job() || job_->finished(); }
  void say_hello();
  void report();
  bool must_leave(Instant now);
  int poll_timeout(Instant now) const;

  Settings settings_;
  Connection line_;
  Fd signals_;
  std::optional<User> root_;  // looked up while nobody waits
  std::optional<JobRun> job_;
  bool held_ = false;  // job_ waits for `begin`: it is not this builder's yet
  bool alone_ = true;  // no other process is left in the container
  bool told_started_ = false, told_finished_ = false;
  bool released_ = false, stopping_ = false;
  Instant last_seen_{};  // when somebody was last connected, or the job last ran
};

}  // namespace mayfly::agent
