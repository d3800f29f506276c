#include "os/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include <fmt/format.h>

#include "base/text.h"
#include "os/file.h"

extern char** environ;

namespace mayfly::os {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

struct Pipe {
  Fd read_end, write_end;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Unexpected(errno_error("cannot make a pipe", errno));
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

std::vector<std::string> merged_environment(const std::vector<std::string>& added) {
  const auto name_of = [](std::string_view entry) { return entry.substr(0, entry.find('=')); };
  std::vector<std::string> all;
  for (char** entry = environ; *entry; ++entry) {
    bool replaced = false;
    for (const auto& a : added) replaced |= name_of(a) == name_of(*entry);
    if (!replaced) all.emplace_back(*entry);
  }
  all.insert(all.end(), added.begin(), added.end());
  return all;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const auto& s : strings) result.push_back(const_cast<char*>(s.c_str()));
  result.push_back(nullptr);
  return result;
}

// Its own process group, so that a deadline ends its children too; signals as a fresh program expects them; nothing
// inherited but the three standard descriptors.
Result<pid_t> spawn(const Command& command, int in, int out, int err) {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, in, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, err, 2);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  if (!command.directory.empty()) posix_spawn_file_actions_addchdir_np(&actions, command.directory.c_str());
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const auto environment = merged_environment(command.env);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, command.argv[0].c_str(), &actions, &attributes, pointers(command.argv).data(),
                                 pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (error == ENOENT && find_program(command.argv[0]).empty())
    return fail(ErrorCode::unsupported, "there is no such program on this host", command.argv[0],
                "Install it, or put it into PATH");
  if (error != 0) return Unexpected(errno_error("cannot start the program", error, command.argv[0]));
  return pid;
}

void keep_head(std::string& kept, std::string_view more, std::size_t limit, bool& truncated) {
  const std::size_t room = limit - std::min(limit, kept.size());
  truncated |= more.size() > room;
  kept.append(more.substr(0, room));
}

void keep_tail(std::string& kept, std::string_view more, std::size_t limit, bool& truncated) {
  kept.append(more);
  if (kept.size() <= limit) return;
  truncated = true;
  kept.erase(0, kept.size() - limit);
}

// One running program and the daemon's ends of its pipes.
class Run {
 public:
  Run(const Command& command, pid_t pid, Fd pidfd, Fd in, Fd out, Fd err)
      : command_(command),
        pid_(pid),
        pidfd_(std::move(pidfd)),
        in_(std::move(in)),
        out_(std::move(out)),
        err_(std::move(err)) {
    for (const Fd* fd : {&in_, &out_, &err_})
      if (*fd) fcntl(fd->get(), F_SETFL, O_NONBLOCK);
    if (command_.input.empty()) in_.reset();
  }

  Result<Finish> to_the_end() {
    while (!ended_) {
      const int wait_ms = milliseconds_left();
      if (wait_ms == 0) return killed_for_time();
      std::array<pollfd, 5> fds{{{pidfd_.get(), POLLIN, 0},
                                 {in_.get(), POLLOUT, 0},
                                 {out_.get(), POLLIN, 0},
                                 {err_.get(), POLLIN, 0},
                                 {command_.stop ? command_.stop->fd() : -1, POLLIN, 0}}};
      if (poll(fds.data(), fds.size(), wait_ms) < 0 && errno != EINTR) return killed_for_time();
      if (fds[1].revents) feed();
      if (fds[2].revents) drain(out_, true);
      if (fds[3].revents) drain(err_, false);
      ended_ = fds[0].revents != 0;
      if (!ended_ && fds[4].revents) return killed(ErrorCode::unavailable, "it was stopped");
    }
    // What it wrote is in the pipes by now; a child of its own that still holds them is not waited for.
    drain(out_, true);
    drain(err_, false);
    reap();
    return std::move(finish_);
  }

 private:
  int milliseconds_left() const {
    if (command_.deadline == SteadyTime::max()) return -1;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(command_.deadline - std::chrono::steady_clock::now()).count();
    return static_cast<int>(std::clamp<long long>(left, 0, 3'600'000));
  }

  void feed() {
    const std::string_view rest = std::string_view(command_.input).substr(fed_);
    const ssize_t n = write(in_.get(), rest.data(), rest.size());
    if (n > 0) fed_ += static_cast<std::size_t>(n);
    const bool failed = n < 0 && errno != EAGAIN && errno != EINTR;  // EPIPE: it does not want to read
    if (failed || fed_ == command_.input.size()) in_.reset();
  }

  void drain(Fd& fd, bool is_out) {
    std::array<char, 65536> buffer;
    for (int rounds = 0; fd && rounds < 64; ++rounds) {
      const ssize_t n = read(fd.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return;
      if (n <= 0) return fd.reset();
      const std::string_view more(buffer.data(), static_cast<std::size_t>(n));
      if (is_out)
        keep_head(finish_.out, more, command_.out_limit, finish_.out_truncated);
      else
        keep_tail(finish_.err, more, command_.err_limit, finish_.err_truncated);
    }
  }

  void reap() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    finish_.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    finish_.exit_code = WIFSIGNALED(status) ? 128 + finish_.signal : WEXITSTATUS(status);
  }

  Result<Finish> killed_for_time() { return killed(ErrorCode::timeout, "it did not end in time and was killed"); }

  Result<Finish> killed(ErrorCode code, const char* why) {
    kill(-pid_, SIGKILL);
    reap();
    return fail(code, why, shell_quote(command_.argv));
  }

  const Command& command_;
  pid_t pid_;
  Fd pidfd_, in_, out_, err_;
  std::size_t fed_ = 0;
  bool ended_ = false;
  Finish finish_;
};

// Writing to a program that has stopped reading must be an error of write(), not the death of the daemon.
class BlockSigpipe {
 public:
  BlockSigpipe() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &old_);
  }
  ~BlockSigpipe() {
    const timespec at_once{};
    while (sigismember(&old_, SIGPIPE) == 0 && sigtimedwait(&pipe_, nullptr, &at_once) == SIGPIPE) {
    }
    pthread_sigmask(SIG_SETMASK, &old_, nullptr);
  }

 private:
  sigset_t pipe_, old_;
};

}  // namespace

Result<Finish> run(const Command& command) {
  MAYFLY_CHECK(!command.argv.empty());
  const BlockSigpipe quiet;
  Pipe in, out, err;
  if (command.input.empty()) {
    MAYFLY_ASSIGN(in.read_end, open_file("/dev/null", O_RDONLY));
  } else {
    MAYFLY_ASSIGN(in, make_pipe());
  }
  MAYFLY_ASSIGN(out, make_pipe());
  MAYFLY_ASSIGN(err, make_pipe());
  MAYFLY_ASSIGN(const pid_t pid, spawn(command, in.read_end.get(), out.write_end.get(), err.write_end.get()));
  in.read_end.reset();
  out.write_end.reset();
  err.write_end.reset();
  Fd pidfd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) {
    const int error = errno;
    kill(-pid, SIGKILL);
    waitpid(pid, nullptr, 0);
    return Unexpected(errno_error("cannot watch the program (pidfd_open)", error, command.argv[0]));
  }
  return Run(command, pid, std::move(pidfd), std::move(in.write_end), std::move(out.read_end), std::move(err.read_end))
      .to_the_end();
}

std::string Finish::last_error_line() const {
  std::string_view rest = trim(err);
  const auto newline = rest.rfind('\n');
  return std::string(trim(newline == std::string_view::npos ? rest : rest.substr(newline + 1)));
}

std::string find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return access(name.c_str(), X_OK) == 0 ? name : "";
  const char* path = getenv("PATH");
  for (const auto& directory : split(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin", ':')) {
    std::string candidate = (directory.empty() ? "." : directory) + "/" + name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

}  // namespace mayfly::os
