#include "agent/filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "agent/options.h"
#include "base/fd.h"

namespace mayfly::agent {

Result<void> install_filter(int fd) {
  const Fd source(fd);
  std::vector<sock_filter> program(BPF_MAXINSNS + 1);
  const auto n = ::pread(fd, program.data(), program.size() * sizeof(sock_filter), 0);
  if (n < 0) return Unexpected(errno_error("cannot read the system call filter", errno, seccomp_fd_flag));
  const auto size = static_cast<std::size_t>(n);
  if (size == 0 || size % sizeof(sock_filter) != 0 || size / sizeof(sock_filter) > BPF_MAXINSNS)
    return fail(ErrorCode::invalid, "the system call filter is not a BPF program", seccomp_fd_flag);
  sock_fprog filter{static_cast<unsigned short>(size / sizeof(sock_filter)), program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0)
    return Unexpected(errno_error("the kernel refuses the system call filter", errno, seccomp_fd_flag));
  return {};
}

}  // namespace mayfly::agent
