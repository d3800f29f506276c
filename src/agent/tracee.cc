#include "agent/tracee.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstdint>

namespace mayfly::agent {
namespace {

// Beyond this a process is loading something large, and each stop costs it more than running ahead saves.
constexpr int max_stops = 400;

#if defined(__x86_64__)
constexpr std::uint32_t native = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t native = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t native = 0;  // held at its first call
#endif

bool reads_only(std::uint64_t flags) { return (flags & (O_ACCMODE | O_CREAT | O_TRUNC)) == O_RDONLY; }

// Of descriptors it has itself: no lock, no owner of signals.
bool own_descriptors(std::uint64_t command) {
  return command == F_DUPFD || command == F_DUPFD_CLOEXEC || command == F_GETFD || command == F_SETFD ||
         command == F_GETFL;
}

// What the start of a program consists of. Anything else holds it; a call left out costs microseconds, one too many
// would let a job act before it is recorded.
bool goes_unnoticed(std::uint64_t call, const std::uint64_t* args) {
  switch (call) {
    case SYS_openat:
      return reads_only(args[2]);
    case SYS_fcntl:
      return own_descriptors(args[1]);
    case SYS_futex:
      return (args[1] & FUTEX_CMD_MASK) == FUTEX_WAKE;  // it has one thread, so nobody
    case SYS_ioctl:
      return args[1] == TCGETS;  // is this a terminal?
    case SYS_prlimit64:
      return args[0] == 0;  // of itself; more than the hard limit is refused
    case SYS_prctl:
      return args[0] == PR_GET_NAME || args[0] == PR_SET_NAME;
#if defined(__x86_64__)
    case SYS_open:
      return reads_only(args[1]);
    case SYS_access:
    case SYS_arch_prctl:
    case SYS_dup2:
    case SYS_getpgrp:
    case SYS_lstat:
    case SYS_readlink:
    case SYS_stat:
#endif
    case SYS_brk:
    case SYS_close:
    case SYS_dup:
    case SYS_dup3:
    case SYS_faccessat:
    case SYS_fstat:
    case SYS_getcwd:
    case SYS_getdents64:
    case SYS_getegid:
    case SYS_geteuid:
    case SYS_getgid:
    case SYS_getpeername:
    case SYS_getpid:
    case SYS_getppid:
    case SYS_getrandom:
    case SYS_getuid:
    case SYS_lseek:
    case SYS_mmap:  // of files opened to be read, so nothing is written through it
    case SYS_mprotect:
    case SYS_munmap:
    case SYS_newfstatat:
    case SYS_pread64:
    case SYS_read:
    case SYS_readlinkat:
    case SYS_rseq:
    case SYS_rt_sigaction:
    case SYS_rt_sigprocmask:
    case SYS_set_robust_list:
    case SYS_set_tid_address:
    case SYS_sigaltstack:
    case SYS_statx:
    case SYS_sysinfo:
    case SYS_uname:
      return true;
    default:
      return false;
  }
}

// At a stop for a system call, on its way in or out.
bool may_go_on(pid_t pid) {
  __ptrace_syscall_info info{};
  if (::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) <= 0) return false;  // before Linux 5.3
  if (info.op == PTRACE_SYSCALL_INFO_EXIT) return true;
  return info.op == PTRACE_SYSCALL_INFO_ENTRY && info.arch == native && goes_unnoticed(info.entry.nr, info.entry.args);
}

}  // namespace

Tracee::Tracee(pid_t pid) : pid_(pid) {
  if (::ptrace(PTRACE_SETOPTIONS, pid_, nullptr, static_cast<long>(PTRACE_O_TRACESYSGOOD)) == 0)
    go_on();
  else
    hold(0);
}

void Tracee::hold(int signal) { held_ = true, signal_ = signal; }

void Tracee::go_on() {
  if (++stops_ > max_stops || ::ptrace(PTRACE_SYSCALL, pid_, nullptr, nullptr) != 0) hold(0);
}

bool Tracee::changed(int status) {
  if (!WIFSTOPPED(status)) return false;
  if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
    hold(WSTOPSIG(status) == SIGTRAP || WSTOPSIG(status) == SIGSTOP ? 0 : WSTOPSIG(status));  // a fault of its own, say
  } else if (may_go_on(pid_)) {
    go_on();
  } else {
    hold(0);
  }
  return true;
}

bool Tracee::release() {
  const bool running = !held_;
  if (running) {
    ::kill(pid_, SIGSTOP);  // a process can only be let go while it stands
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0)
      if (errno != EINTR) return false;
    if (!WIFSTOPPED(status)) return pid_ = -1, false;
    if (WSTOPSIG(status) != (SIGTRAP | 0x80) && WSTOPSIG(status) != SIGSTOP) signal_ = WSTOPSIG(status);
  }
  if (::ptrace(PTRACE_DETACH, pid_, nullptr, signal_) != 0) return false;
  if (running) ::kill(pid_, SIGCONT);  // takes back the stop, where another one came first
  return true;
}

}  // namespace mayfly::agent
