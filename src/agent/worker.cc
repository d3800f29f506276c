#include "agent/worker.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace mayfly::agent {
namespace {

constexpr std::size_t max_report = 4096;  // fits into any pipe, so reporting never blocks

Result<void> work_as(const User& user, const std::function<Result<void>()>& work) {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::umask(022);
  if (::syscall(SYS_setgroups, user.groups.size(), user.groups.data()) != 0 && !user.groups.empty())
    return Unexpected(errno_error("cannot take the groups of the job's user", errno));
  if (::syscall(SYS_setresgid, user.gid, user.gid, user.gid) != 0 ||
      ::syscall(SYS_setresuid, user.uid, user.uid, user.uid) != 0)
    return Unexpected(errno_error("cannot become the job's user", errno));
  return work();
}

}  // namespace

Result<Worker> Worker::start(const User& user, const std::function<Result<void>()>& work) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return Unexpected(errno_error("cannot make a pipe", errno));
  Worker w;
  w.report_ = Fd(ends[0]);
  Fd write_end(ends[1]);
  w.pid_ = ::fork();
  if (w.pid_ < 0) return Unexpected(errno_error("cannot start a helper process", errno));
  if (w.pid_ > 0) return w;
  auto result = work_as(user, work);
  if (!result) {
    auto text = result.error().text().substr(0, max_report);
    [[maybe_unused]] auto n = ::write(write_end.get(), text.data(), text.size());
  }
  ::_exit(result ? 0 : 1);
}

void Worker::kill() const {
  if (pid_ > 0) ::kill(pid_, SIGKILL);
}

Result<void> Worker::outcome(int status) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  if (WIFSIGNALED(status))
    return fail(ErrorCode::exhausted,
                std::string("the helper process was ended by signal ") + std::to_string(WTERMSIG(status)) + " (" +
                    ::strsignal(WTERMSIG(status)) + ")",
                {},
                WTERMSIG(status) == SIGKILL ? "The workspace lives in memory: it may not fit the memory limit." : "");
  std::string text(max_report, '\0');
  auto n = ::read(report_.get(), text.data(), text.size());
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return fail(ErrorCode::invalid, text.empty() ? "the helper process failed without a word" : text);
}

}  // namespace mayfly::agent
