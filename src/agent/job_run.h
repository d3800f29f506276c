#pragma once
// One job from `assign` to its result: unpack, run, drain, pack, record. Driven by the agent's loop: every method
// returns at once. Signals go to all processes of the container (kill(-1)), so this works only as PID 1.
#include <poll.h>

#include <optional>
#include <string>
#include <vector>

#include "agent/job_process.h"
#include "agent/pump.h"
#include "agent/watch.h"
#include "agent/worker.h"
#include "model/agent_message.h"

namespace mayfly::agent {

struct JobFiles {
  Fd log, index, result, input, output;  // input and output only where the order has them
};

class JobRun {
 public:
  // default_user: of an order that names none.
  JobRun(Assign order, JobFiles files, int oom_events, const std::optional<User>& default_user);

  // Makes ready what can be before start(): no process of the job's acts yet, and what fails will fail again at
  // start().
  void prepare();
  void abandon();  // prepared, and never to be started
  void start(Instant now);
  void cancel(std::string why, Instant now);
  void child_ended(pid_t pid, int status, Instant now);
  void add_interest(std::vector<pollfd>& fds, Instant now) const { pump_.add_interest(fds, now); }
  void ready(const pollfd& fd, Instant now) { pump_.ready(fd, now); }
  // After everything else in a round of the loop. alone: the container has no other process.
  void tick(Instant now, bool alone);
  Instant wake_at() const;

  JobId id() const { return order_.job; }
  Time started_at() const { return started_at_; }                        // the epoch: not yet, or never
  const std::optional<Finished>& finished() const { return finished_; }  // set once it is on disk too

 private:
  enum class Phase { idle, unpacking, running, draining, packing, recording, done };

  Result<void> become_ready();
  void watch();
  Result<Command> command();
  tl::expected<Spawned, SpawnFailure> spawn_main();
  void run(Instant now);
  void process_ended(int status, Instant now);
  void stop_process(JobCause cause, std::string message, Instant now);
  void tick_running(Instant now);
  void tick_draining(Instant now, bool alone);
  void pack(Instant now);
  void packed(const Result<void>& outcome);
  void judge();
  void record(JobCause cause, std::string message, Instant now);
  void record(Instant now);
  void tick_recording(Instant now);
  int write_result(const Finished& finished) const;  // errno, 0: written
  std::string output_path() const;

  Assign order_;
  JobFiles files_;
  std::vector<std::string> patterns_;
  Pump pump_;
  int oom_events_;
  std::optional<OomWatch> oom_;
  std::optional<DiskWatch> disk_;
  std::optional<User> user_;
  std::optional<Standby> standby_;
  std::optional<Worker> worker_;
  bool late_ = false;  // the worker was killed for taking too long
  Phase phase_ = Phase::idle;
  pid_t main_ = -1;
  int status_ = 0;
  JobResult stopped_;  // why we stopped it, if we did
  JobResult result_;
  Time started_at_{}, ended_at_{};
  Instant stop_at_ = Instant::max(), kill_at_ = Instant::max(), look_at_ = Instant::max(), drain_until_{}, retry_at_{};
  std::optional<Finished> finished_;
};

}  // namespace mayfly::agent
