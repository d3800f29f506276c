#include "agent/agent.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

extern "C" char __executable_start, etext, edata, end;  // by the linker: where the program lies

namespace mayfly::agent {

Agent::Agent(const Settings& settings) : settings_(settings), line_(Fd(settings.listen_fd)) {}

Result<void> Agent::run() {
  // A descriptor that is not open would keep poll() returning at once, for ever.
  if (::fcntl(settings_.listen_fd, F_GETFD) < 0)
    return Unexpected(errno_error("cannot use the listening socket", errno, "--listen-fd"));
  sigset_t all;
  ::sigfillset(&all);
  if (::sigprocmask(SIG_SETMASK, &all, nullptr) != 0) return Unexpected(errno_error("cannot block signals", errno));
  // Ignored signals outlive exec: the job must find the defaults.
  for (int s = 1; s < NSIG; ++s) ::signal(s, SIG_DFL);
  sigset_t wanted;
  ::sigemptyset(&wanted);
  for (int s : {SIGCHLD, SIGTERM, SIGINT}) ::sigaddset(&wanted, s);
  signals_ = Fd(::signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return Unexpected(errno_error("cannot watch signals", errno));
  last_seen_ = std::chrono::steady_clock::now();
  while (!must_leave(std::chrono::steady_clock::now())) round();
  return {};
}

void Agent::round() {
  std::vector<pollfd> fds{{signals_.get(), POLLIN, 0}};
  line_.add_interest(fds);
  auto before = std::chrono::steady_clock::now();
  if (job_) job_->add_interest(fds, before);
  int n = ::poll(fds.data(), fds.size(), poll_timeout(before));
  auto now = std::chrono::steady_clock::now();
  if (n > 0) {
    int listener = line_.listener();
    for (const auto& fd : fds) {
      if (fd.revents == 0) continue;
      if (fd.fd == signals_.get())
        read_signals(now);
      else if (fd.fd == line_.peer())
        line_.peer_ready(fd);
      else if (fd.fd != listener && job_)
        job_->ready(fd, now);
    }
    serve_peer(now);
    if (!line_.connected()) drop_held();
    // After the old peer's last words: a new one replaces it.
    bool knock =
        std::any_of(fds.begin(), fds.end(), [&](const pollfd& f) { return f.fd == listener && f.revents != 0; });
    if (knock && line_.accept_ready()) {
      drop_held();
      say_hello();
      if (!job_) warm_up();
    }
  }
  reap(now);
  if (job_) job_->tick(now, alone_);
  report();
  if (line_.connected() || !idle()) last_seen_ = now;
}

// What an order needs first, read while nobody waits for it: the order would pay for each page and file's first use.
void Agent::warm_up() {
  if (auto root = resolve_user("")) root_ = std::move(*root);
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto touch = [page](const char* from, const char* to, int how) {
    const auto begin = reinterpret_cast<std::uintptr_t>(from) / page * page;
    (void)::madvise(reinterpret_cast<void*>(begin), reinterpret_cast<std::uintptr_t>(to) - begin, how);
  };
  touch(&__executable_start, &etext, 22 /* MADV_POPULATE_READ, Linux 5.14 */);
  touch(&edata, &end, 23 /* MADV_POPULATE_WRITE */);
}

void Agent::reap(Instant now) {
  for (;;) {
    int status = 0;
    pid_t pid = ::waitpid(-1, &status, WNOHANG);
    if (pid < 0 && errno == EINTR) continue;
    alone_ = pid < 0;
    if (pid <= 0) return;
    if (job_) job_->child_ended(pid, status, now);
  }
}

void Agent::read_signals(Instant now) {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
    if (info.ssi_signo == SIGCHLD) continue;  // reap() runs every round
    // The sender's pid is 0 when it is outside this container. A job's `kill -TERM 1` is not an order to end.
    if (info.ssi_pid != 0) continue;
    stopping_ = true;
    if (has_job()) job_->cancel("the builder was stopped from outside", now);
  }
}

void Agent::serve_peer(Instant now) {
  while (auto message = line_.next()) {
    if (!*message)
      line_.send(Refused{0, message->error().text()});
    else
      std::visit([&](auto& m) { take(std::move(m), now); }, **message);
  }
}

void Agent::take(Assign order, Instant now) {
  auto fds = line_.take_fds(3U + (order.has_input ? 1U : 0U) + (order.output.empty() ? 0U : 1U));
  if (job_ && job_->id() == order.job) return say_hello();
  if (job_)
    return line_.send(
        Refused{order.job, "this builder has had job " + std::to_string(job_->id()) + "; a builder takes one"});
  if (fds.empty())
    return line_.send(Refused{order.job, "the file descriptors for the log and the result did not come along"});
  if (stopping_) return line_.send(Refused{order.job, "this builder is being stopped"});
  JobFiles files{std::move(fds[0]), std::move(fds[1]), std::move(fds[2]), {}, {}};
  if (order.has_input) files.input = std::move(fds[3]);
  if (!order.output.empty()) files.output = std::move(fds.back());
  held_ = order.hold;
  job_.emplace(std::move(order), std::move(files), settings_.oom_fd, root_);
  if (held_) return job_->prepare();
  begin(now);
}

void Agent::begin(Instant now) {
  held_ = false;
  job_->start(now);
  alone_ = false;  // until reap() finds otherwise
  report();
}

void Agent::take(const Begin& order, Instant now) {
  if (held_ && job_->id() == order.job) return begin(now);
  line_.send(Refused{order.job, "this builder does not hold that job"});
}

// The daemon may have died before it recorded whose builder this is: it may be given another job.
void Agent::drop_held() {
  if (!held_) return;
  job_->abandon();
  job_.reset();
  held_ = false;
}

void Agent::take(const Cancel& cancel, Instant now) {
  if (has_job() && job_->id() == cancel.job) return job_->cancel("the job was cancelled", now);
  line_.send(Refused{cancel.job, "this builder does not have that job"});
}

void Agent::take(const Release&, Instant) {
  if (has_job() && !job_->finished()) return line_.send(Refused{job_->id(), "the job has not ended"});
  released_ = true;
}

void Agent::say_hello() {
  Hello hello;
  if (has_job()) {
    hello.job = job_->id();
    hello.started_at = job_->started_at();
    hello.finished = job_->finished();
  }
  line_.send(hello);
}

void Agent::report() {
  if (!has_job()) return;
  if (!told_started_ && job_->started_at() != Time()) {
    told_started_ = true;
    line_.send(Started{job_->id(), job_->started_at()});
  }
  if (!told_finished_ && job_->finished()) {
    told_finished_ = true;
    line_.send(*job_->finished());
  }
}

bool Agent::must_leave(Instant now) {
  if (released_) return true;
  if (!idle()) return false;
  return stopping_ || (!line_.connected() && now - last_seen_ >= settings_.orphan_grace);
}

int Agent::poll_timeout(Instant now) const {
  auto at = job_ ? job_->wake_at() : Instant::max();
  if (idle() && !line_.connected()) at = std::min(at, last_seen_ + settings_.orphan_grace);
  if (at == Instant::max()) return -1;
  auto left = std::chrono::ceil<milliseconds>(at - now).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000));
}

}  // namespace mayfly::agent
