// How far a process may go ahead of its order.
#include "agent/tracee.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>

namespace mayfly::agent {
namespace {

// In a traced child: stops where an exec would have stopped it, acts, and ends with 7.
pid_t traced(const std::function<void()>& act) {
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(99);
  ::kill(::getpid(), SIGSTOP);
  act();
  ::_exit(7);
}

// It stands and has nothing more to tell.
bool is_held(pid_t pid, int* status) {
  std::string name;
  char state = 0;
  std::ifstream("/proc/" + std::to_string(pid) + "/stat") >> name >> name >> state;
  return ::waitpid(pid, status, WNOHANG) == 0 && state == 't';
}

// The system call that it was held at, and what it ends with when it may go on.
std::pair<long, int> held_at(const std::function<void()>& act) {
  const pid_t pid = traced(act);
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSTOPPED(status));
  Tracee t(pid);
  for (status = 0; !is_held(pid, &status); status = 0)
    if (status != 0 && !t.changed(status)) return {-1, status};
  long call = -1;
  std::ifstream("/proc/" + std::to_string(pid) + "/syscall") >> call;
  EXPECT_TRUE(t.release());
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return {call, WIFEXITED(status) ? WEXITSTATUS(status) : -1};
}

using Held = std::pair<long, int>;

TEST(Tracee, IsHeldAtItsFirstActAndThenGoesOnByItself) {
  EXPECT_EQ(held_at([] { ::syscall(SYS_write, -1, "x", 1); }), (Held{SYS_write, 7}));
  EXPECT_EQ(held_at([] { ::syscall(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY); }), (Held{SYS_openat, 7}));
  EXPECT_EQ(held_at([] { ::syscall(SYS_kill, ::getppid(), 0); }), (Held{SYS_kill, 7}));
}

TEST(Tracee, ReadingGoesUnnoticed) {
  auto read = [] {
    const long fd = ::syscall(SYS_openat, AT_FDCWD, "/proc/self/stat", O_RDONLY);
    char byte = 0;
    ::syscall(SYS_read, fd, &byte, 1);
    ::syscall(SYS_close, fd);
  };
  EXPECT_EQ(held_at(read), (Held{SYS_exit_group, 7}));
}

// A limit of its own process, yes; with another's it would act on a job that nobody has ordered yet.
TEST(Tracee, SetsNoLimitOfAnotherProcess) {
  static const auto limits = [](pid_t of) {
    rlimit limit{};
    ::getrlimit(RLIMIT_CORE, &limit);
    ::syscall(SYS_prlimit64, of, RLIMIT_CORE, &limit, nullptr);
  };
  EXPECT_EQ(held_at([] { limits(::getppid()); }), (Held{SYS_prlimit64, 7}));
  EXPECT_EQ(held_at([] { limits(0); }), (Held{SYS_exit_group, 7}));
}

}  // namespace
}  // namespace mayfly::agent
