// `mayfly run`: submit, follow, exit with the job's exit code.
#include <fmt/format.h>
#include <sys/random.h>

#include <boost/json.hpp>
#include <optional>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/run_request.h"
#include "cli/transfer.h"
#include "model/json.h"

namespace mayfly {
namespace {

constexpr seconds patience{60};  // with a daemon that went away
constexpr int exit_cancelled = 130;

// A new one for each run: a repeated request must find the job of the first, and never that of another run.
std::string new_key() {
  char bytes[16];
  MAYFLY_CHECK(::getrandom(bytes, sizeof bytes, 0) == sizeof bytes);
  return to_hex({bytes, sizeof bytes});
}

class Run {
 public:
  Run(Call& call, RunRequest request, DaemonAddress address, Interrupts& interrupts)
      : call_(call),
        request_(std::move(request)),
        address_(std::move(address)),
        interrupts_(interrupts),
        api_(address_) {}

  int run() {
    if (!request_.upload.empty()) {
      auto id = upload_directory(api_, request_.upload, interrupts_.fd());
      if (!id) return interrupts_.taken() > 0 ? exit_cancelled : call_.failed(id.error(), exit_mayfly);
      request_.spec.input = *id;
    }
    auto job = submit();
    if (!job) return interrupts_.taken() > 0 ? exit_cancelled : call_.failed(job.error(), exit_mayfly);
    job_ = *job;
    if (request_.detach) {
      call_.output.out(request_.json ? boost::json::serialize(to_json(job_)) + "\n" : fmt::format("{}\n", job_.id));
      return 0;
    }
    return follow();
  }

 private:
  // Sent again with the same key for as long as it is unknown whether the daemon has the job.
  Result<Job> submit() {
    auto body = to_json(request_.spec);
    body["idempotency_key"] = new_key();
    auto text = boost::json::serialize(body);
    submitted_ = std::chrono::steady_clock::now();
    Patience again(patience, interrupts_, call_.output);
    for (;;) {
      auto answer = api_.post("/v1/jobs", text);
      if (answer) return job_from_json(*answer);
      if (!api_.connected() || !again.again(answer.error()) || interrupts_.taken() > 0)
        return Unexpected(answer.error());
    }
  }

  int follow() {
    FollowOptions options;
    options.job = job_.id;
    options.sink = [this](LogStream stream, std::string_view bytes) { return print(stream, bytes); };
    options.on_wake = [this] { return on_wake(); };
    std::optional<Job> ended;
    // The stream also ends where the daemon does; then the job goes on, and so do we.
    while (!ended) {
      auto followed = follow_log(api_, options, interrupts_, call_.output);
      call_.output.progress("");
      if (!followed) return left(followed.error());
      if (followed->stopped) return abandoned();
      options.offset = followed->offset;
      auto now = patient_job(api_, job_.id, patience, options.on_wake, interrupts_, call_.output);
      if (!now) return abandoned_ ? abandoned() : left(now.error());
      if (is_final(now->state))
        ended = *now;
      else
        interrupts_.sleep(50);
    }
    return conclude(*ended);
  }

  bool print(LogStream stream, std::string_view bytes) {
    printed_ = true;
    if (stream == LogStream::mayfly) return call_.output.remark(bytes), true;
    // Nobody reading our output any more is no reason to leave the job alone: its exit code still counts.
    if (stream == LogStream::out && !request_.json)
      call_.output.out(bytes);
    else
      call_.output.err(bytes);
    return true;
  }

  bool on_wake() {
    int n = interrupts_.taken();
    if (n >= 2) return abandoned_ = true, false;
    if (n == 1 && !cancelling_) {
      cancelling_ = true;
      call_.output.remark(fmt::format("cancelling job {}; Ctrl-C again to leave at once", job_.id));
      // On a connection of its own: the other one is busy with the log.
      Api other(address_);
      auto answer = other.post(fmt::format("/v1/jobs/{}/cancel", job_.id));
      if (!answer && answer.error().code != ErrorCode::conflict) call_.output.remark(answer.error().text());
    }
    show_waiting();
    return true;
  }

  void show_waiting() {
    auto waited = std::chrono::steady_clock::now() - submitted_;
    if (printed_ || started_ || cancelling_ || !call_.output.shows_progress() || waited < seconds(1)) return;
    if (!watcher_) watcher_.emplace(address_);
    auto answer = watcher_->get(fmt::format("/v1/jobs/{}", job_.id), seconds(2));
    auto job = answer ? job_from_json(*answer) : Unexpected(answer.error());
    if (!job) return;
    started_ = job->state != JobState::queued;
    call_.output.progress(started_ ? ""
                                   : fmt::format("mayfly: job {} has been waiting {}: {}", job_.id,
                                                 rough_duration(std::chrono::duration_cast<Duration>(waited)),
                                                 job->waiting.text));
  }

  int abandoned() {
    call_.output.remark(
        fmt::format("left job {} while it is being cancelled; see `mayfly explain {}`", job_.id, job_.id));
    return exit_cancelled;
  }

  int left(const Error& error) {
    call_.failed(error);
    call_.output.remark(fmt::format("job {} may still be running; see `mayfly logs -f {}` and `mayfly explain {}`",
                                    job_.id, job_.id, job_.id));
    return exit_mayfly;
  }

  int conclude(const Job& job) {
    int code = client_exit_code(job.result);
    if (!job.result.message.empty()) {
      bool named = job.result.message.find(fmt::format("job {}", job.id)) != std::string::npos;
      call_.output.remark(named ? job.result.message : fmt::format("job {}: {}", job.id, job.result.message));
    } else if (job.result.cause != JobCause::exited) {
      call_.output.remark(fmt::format("job {} {}", job.id, ending(job)));
    }
    if (!request_.download.empty()) code = download(job, code);
    if (request_.json) call_.output.out(boost::json::serialize(to_json(job)) + "\n");
    return code;
  }

  static std::string ending(const Job& job) {
    if (job.result.cause == JobCause::signalled) return fmt::format("was ended by signal {}", job.result.signal);
    auto cause = std::string(to_string(job.result.cause));
    for (char& c : cause) c = c == '_' ? ' ' : c;
    return fmt::format("ended: {}", cause);
  }

  // A failed job's files are wanted most of all (test reports); that it left none is then no second failure.
  int download(const Job& job, int code) {
    auto got = download_output(api_, job.id, request_.download, interrupts_.fd());
    if (!got && got.error().code == ErrorCode::not_found && code != 0) return code;
    if (!got) {
      call_.failed(got.error());
      return code == 0 ? exit_mayfly : code;
    }
    for (const auto& name : got->left_out)
      call_.output.remark(fmt::format("'{}' is no file, directory or link, and was left out", name));
    return code;
  }

  Call& call_;
  RunRequest request_;
  DaemonAddress address_;
  Interrupts& interrupts_;
  Api api_;
  std::optional<Api> watcher_;
  Job job_;
  std::chrono::steady_clock::time_point submitted_;
  bool printed_ = false, started_ = false, cancelling_ = false, abandoned_ = false;
};

int run_standalone(Call& call, RunRequest request, Interrupts& interrupts) {
  if (!call.environment.run_standalone)
    return call.failed(
        {ErrorCode::unsupported, "this program cannot run jobs without a daemon", {}, "Give --pool and a daemon."},
        exit_mayfly);
  auto daemon = call.environment.run_standalone(request.standalone);
  if (!daemon) return call.failed(daemon.error(), exit_mayfly);
  request.spec.pool = daemon->pool;
  DaemonAddress address;
  address.server.unix_socket = daemon->socket;
  address.why = "in this process";
  // Ctrl-C while it started must not leave it behind.
  int code = exit_cancelled;
  if (interrupts.taken() == 0) code = Run(call, std::move(request), std::move(address), interrupts).run();
  if (daemon->stop) daemon->stop();
  return code;
}

}  // namespace

int command_run(Call& call) {
  auto request = run_request(call);
  if (!request) return call.usage(request.error());
  Interrupts interrupts;
  if (!request->image.empty()) return run_standalone(call, std::move(*request), interrupts);
  auto address = find_daemon(call.line.connection, call.environment);
  if (!address) return call.usage(address.error());
  return Run(call, std::move(*request), std::move(*address), interrupts).run();
}

}  // namespace mayfly
