#include "agent/job_run.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "agent/options.h"
#include "agent/plain_text.h"
#include "agent/tar.h"
#include "base/text.h"

namespace mayfly::agent {
namespace {

constexpr std::size_t max_message = 4096;
constexpr auto disk_interval = milliseconds(250);
constexpr auto result_interval = milliseconds(250);
constexpr auto drain_time = seconds(2);  // after SIGKILL to all: only what hangs in the kernel takes longer
constexpr auto default_helper_time = std::chrono::hours(1);

// Everything in the container but this process. Anywhere but at PID 1 it would be everything on the machine.
void kill_all(int signal) {
  MAYFLY_CHECK(::getpid() == 1);
  ::kill(-1, signal);
}

Time wall_clock() { return SystemClock().now(); }

Result<void> prepare_workspace(const User& user) {
  // Looked for first: a launcher has usually made it, and to the kernel even the making of what is there is a write.
  struct stat st{};
  if (::lstat(workspace_path, &st) != 0 && ::mkdir(workspace_path, 0755) != 0 && errno != EEXIST)
    return Unexpected(errno_error("cannot make the workspace", errno, workspace_path));
  Fd dir(::open(workspace_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!dir) return Unexpected(errno_error("cannot open the workspace", errno, workspace_path));
  if (::fstat(dir.get(), &st) == 0 && st.st_uid == user.uid && st.st_gid == user.gid) return {};
  if (::fchown(dir.get(), user.uid, user.gid) != 0)
    return Unexpected(errno_error("cannot give the workspace to the job's user", errno, workspace_path));
  return {};
}

void append(std::string& message, std::string_view more) {
  if (!message.empty()) message += "; ";
  message += more;
}

}  // namespace

JobRun::JobRun(Assign order, JobFiles files, int oom_events, const std::optional<User>& default_user)
    : order_(std::move(order)),
      files_(std::move(files)),
      patterns_(mask_patterns(order_.secrets)),
      pump_(LogWriter(std::move(files_.log), std::move(files_.index), order_.log_limit), patterns_),
      oom_events_(oom_events) {
  if (order_.user.empty()) user_ = default_user;
}

Result<void> JobRun::become_ready() {
  if (!user_) {
    MAYFLY_ASSIGN(user_, resolve_user(order_.user));
  }
  return prepare_workspace(*user_);
}

// After the process is under way, where one stands by: it need not wait for this.
void JobRun::watch() {
  oom_.emplace(oom_events_);
  disk_.emplace(std::vector<std::string>{workspace_path, "/", "/tmp"});
}

void JobRun::prepare() {
  if (files_.input || !become_ready()) return;
  auto ready = command();
  if (!ready) return;
  if (auto standby = Standby::make(*ready)) standby_.emplace(std::move(*standby));
  watch();
}

void JobRun::abandon() {
  standby_.reset();
  if (!order_.script.empty()) remove_script(order_.job);
}

void JobRun::start(Instant now) {
  if (standby_) return run(now);
  if (auto ready = become_ready(); !ready) return record(JobCause::start_failed, ready.error().text(), now);
  watch();
  if (!files_.input) return run(now);
  auto worker = Worker::start(*user_, [this] { return unpack_tar(files_.input.get(), workspace_path); });
  if (!worker) return record(JobCause::input_failed, worker.error().text(), now);
  worker_ = std::move(*worker);
  phase_ = Phase::unpacking;
  stop_at_ = now + (order_.timeout > Duration() ? order_.timeout : default_helper_time);
}

Result<Command> JobRun::command() {
  Command command{order_.argv, job_environment(order_.env, order_.secrets, *user_), *user_, workspace_path};
  if (command.argv.empty()) {
    remove_script(order_.job);  // of a preparation that came to nothing
    MAYFLY_ASSIGN(command.argv, write_script(order_.script, order_.job));
  }
  return command;
}

tl::expected<Spawned, SpawnFailure> JobRun::spawn_main() {
  if (standby_)
    if (auto spawned = standby_->go()) return std::move(*spawned);
  auto ready = command();
  if (!ready) return tl::unexpected(SpawnFailure{JobCause::start_failed, ready.error().text()});
  return spawn(*ready);
}

void JobRun::run(Instant now) {
  auto spawned = spawn_main();
  if (!spawned) return record(spawned.error().cause, spawned.error().message, now);
  started_at_ = wall_clock();
  main_ = spawned->pid;
  pump_.attach(std::move(spawned->out), std::move(spawned->err));
  phase_ = Phase::running;
  stop_at_ = order_.timeout > Duration() ? now + order_.timeout : Instant::max();
  look_at_ = now + disk_interval;
}

void JobRun::cancel(std::string why, Instant now) {
  switch (phase_) {
    case Phase::running:
      return stop_process(JobCause::cancelled, std::move(why), now);
    case Phase::unpacking:
    case Phase::packing:
      stopped_ = {JobCause::cancelled, 0, 0, std::move(why)};
      return worker_->kill();
    case Phase::draining:
    case Phase::recording:
      return pump_.give_up();  // the job keeps its own end, but does not wait for a full disk any longer
    case Phase::idle:
    case Phase::done:
      return;
  }
}

void JobRun::stop_process(JobCause cause, std::string message, Instant now) {
  if (stopped_.cause != JobCause::none) return;
  stopped_ = {cause, 0, 0, std::move(message)};
  stop_at_ = Instant::max();
  kill_at_ = now + std::max(order_.grace, Duration());
  kill_all(SIGTERM);
  kill_all(SIGCONT);  // a stopped process would not see it
}

void JobRun::child_ended(pid_t pid, int status, Instant now) {
  if (standby_ && pid == standby_->pid()) {
    if (!standby_->changed(status)) standby_.reset();
    return;
  }
  if (phase_ == Phase::running && pid == main_) return process_ended(status, now);
  if (!worker_ || pid != worker_->pid()) return;
  auto outcome = worker_->outcome(status);
  if (!outcome && late_) outcome = fail(ErrorCode::timeout, "it took longer than the job's time limit");
  worker_.reset();
  late_ = false;
  stop_at_ = Instant::max();
  if (phase_ == Phase::packing) {
    packed(outcome);
    return record(now);
  }
  files_.input.reset();
  if (stopped_.cause != JobCause::none) return record(stopped_.cause, stopped_.message, now);
  if (!outcome)
    return record(JobCause::input_failed, "the uploaded directory cannot be unpacked: " + outcome.error().text(), now);
  run(now);
}

void JobRun::process_ended(int status, Instant now) {
  status_ = status;
  ended_at_ = wall_clock();
  stop_at_ = kill_at_ = look_at_ = Instant::max();
  disk_->look();
  kill_all(SIGKILL);  // nothing has a right to outlive the main process
  phase_ = Phase::draining;
  drain_until_ = now + drain_time;
}

void JobRun::tick(Instant now, bool alone) {
  pump_.tick(now);
  // Who cancels does not wait for room on the host's disk, but for the end.
  if (stopped_.cause == JobCause::cancelled && phase_ != Phase::running) pump_.give_up();
  switch (phase_) {
    case Phase::unpacking:
    case Phase::packing:
      if (now < stop_at_) return;
      stop_at_ = Instant::max();
      late_ = true;
      return worker_->kill();
    case Phase::running:
      return tick_running(now);
    case Phase::draining:
      return tick_draining(now, alone);
    case Phase::recording:
      return tick_recording(now);
    case Phase::idle:
    case Phase::done:
      return;
  }
}

void JobRun::tick_running(Instant now) {
  if (now >= stop_at_)
    stop_process(JobCause::timed_out,
                 "the job ran longer than its time limit of " + format_duration(order_.timeout) + " and was stopped",
                 now);
  if (now >= kill_at_) {
    kill_all(SIGKILL);
    kill_at_ = Instant::max();
  }
  if (now >= look_at_) {
    disk_->look();
    look_at_ = now + disk_interval;
  }
}

void JobRun::tick_draining(Instant now, bool alone) {
  if (pump_.blocked()) drain_until_ = now + drain_time;  // the host's disk is full: wait for room, lose nothing
  bool over = pump_.drained() && alone;
  if (!over && (now < drain_until_ || pump_.blocked())) return;
  pump_.close(now);
  judge();
  if (files_.output && stopped_.cause != JobCause::cancelled) return pack(now);
  record(now);
}

// What the end of the main process means.
void JobRun::judge() {
  bool signalled = WIFSIGNALED(status_);
  int code = signalled ? 0 : WEXITSTATUS(status_), number = signalled ? WTERMSIG(status_) : 0;
  bool failed = signalled || code != 0;
  if (stopped_.cause != JobCause::none) {
    result_ = {stopped_.cause, code, number, stopped_.message};
  } else if (failed && oom_->happened()) {
    result_ = {JobCause::oom_killed, code, number,
               "the job used more memory than its limit, and the kernel ended a process of it (files in the workspace "
               "count as memory)"};
  } else if (failed && !disk_->full().empty()) {
    result_ = {JobCause::disk_full, signalled ? 128 + number : code, number,
               "the job failed after the disk of its builder had filled up (at " + disk_->full() + ")"};
  } else if (signalled) {
    result_ = {JobCause::signalled, 0, number,
               "the main process was ended by signal " + std::to_string(number) + " (" + ::strsignal(number) + ")"};
  } else {
    result_ = {JobCause::exited, code, 0, {}};
  }
}

std::string JobRun::output_path() const {
  return order_.output.starts_with('/') ? order_.output : std::string(workspace_path) + "/" + order_.output;
}

void JobRun::pack(Instant now) {
  auto worker = Worker::start(*user_, [this] { return pack_tar(output_path(), files_.output.get()); });
  if (!worker) {
    packed(Unexpected(worker.error()));
    return record(now);
  }
  worker_ = std::move(*worker);
  phase_ = Phase::packing;
  stop_at_ = now + (order_.timeout > Duration() ? order_.timeout : default_helper_time);
}

void JobRun::packed(const Result<void>& outcome) {
  if (stopped_.cause == JobCause::cancelled) {
    result_.cause = stopped_.cause, result_.message = stopped_.message;
    return;
  }
  if (outcome) return;
  if (final_state(result_) == JobState::succeeded) result_.cause = JobCause::output_failed;
  append(result_.message,
         "the directory '" + order_.output + "' cannot be packed for download: " + outcome.error().text());
}

void JobRun::record(JobCause cause, std::string message, Instant now) {
  result_ = {cause, 0, 0, std::move(message)};
  record(now);
}

void JobRun::record(Instant now) {
  if (ended_at_ == Time()) ended_at_ = wall_clock();
  if (!order_.script.empty()) remove_script(order_.job);
  pump_.close(now);
  phase_ = Phase::recording;
  retry_at_ = now;
  tick_recording(now);
}

void JobRun::tick_recording(Instant now) {
  if (pump_.blocked() || now < retry_at_) return;
  if (int broken = pump_.log().broken(); broken != 0)
    append(result_.message, std::string("the log is incomplete, writing it failed: ") + std::strerror(broken));
  Finished f;
  f.job = order_.job;
  f.result = result_;
  f.result.message = plain_text(mask_all(patterns_, f.result.message), max_message);
  f.started_at = started_at_;
  f.ended_at = ended_at_;
  f.log_bytes = static_cast<std::int64_t>(pump_.log().log_bytes());
  f.log_truncated = pump_.log().truncated();
  // Written but not synced: what must survive is the daemon's death, not the machine's, after which nothing is adopted.
  // fdatasync of log, index and result took 0.3 ms for a short log, but 40 ms for one of 100 MB.
  int error = write_result(f);
  if (error == ENOSPC || error == EDQUOT) {
    retry_at_ = now + result_interval;
    return;
  }
  finished_ = std::move(f);  // whatever else went wrong with the file, the daemon still hears it over the line
  phase_ = Phase::done;
}

int JobRun::write_result(const Finished& f) const {
  auto text = encode_result(f);
  for (std::size_t done = 0; done < text.size();) {
    auto n = ::pwrite(files_.result.get(), text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno;
    done += static_cast<std::size_t>(n);
  }
  if (::ftruncate(files_.result.get(), static_cast<off_t>(text.size())) != 0)
    return errno;  // an earlier attempt may have left more
  return 0;
}

Instant JobRun::wake_at() const {
  auto at = std::min({pump_.wake_at(), stop_at_, kill_at_, look_at_});
  if (phase_ == Phase::draining) at = std::min(at, drain_until_);
  if (phase_ == Phase::recording && !pump_.blocked()) at = std::min(at, retry_at_);
  return at;
}

}  // namespace mayfly::agent
