#include "platforms/local/seccomp.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <gtest/gtest.h>

#include "os/file.h"

namespace mayfly::local {
namespace {

// What errno a system call gives under the filter, in a process of its own.
int errno_under(const std::string& program, long number) {
  const pid_t pid = fork();
  if (pid == 0) {
    sock_fprog filter{static_cast<unsigned short>(program.size() / sizeof(sock_filter)),
                      reinterpret_cast<sock_filter*>(const_cast<char*>(program.data()))};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
      _exit(255);
    errno = 0;
    syscall(number, -1, 0, 0, 0, 0);
    _exit(errno);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(Seccomp, BuiltInFilterBarsWhatIsDangerous) {
  auto filter = compile_seccomp_filter("/nonexistent/profile");
  ASSERT_TRUE(filter) << filter.error().text();
  EXPECT_EQ(filter->origin, "built-in");
  EXPECT_EQ(errno_under(filter->program, SYS_kexec_load), EPERM);
  EXPECT_EQ(errno_under(filter->program, SYS_bpf), EPERM);
  EXPECT_EQ(errno_under(filter->program, SYS_getpid), 0);
  EXPECT_EQ(errno_under(filter->program, SYS_close), EBADF);
}

TEST(Seccomp, InstalledProfileBarsWhatIsDangerous) {
  if (access(default_profile, R_OK) != 0) GTEST_SKIP() << default_profile << " is not installed";
  auto filter = compile_seccomp_filter();
  ASSERT_TRUE(filter) << filter.error().text();
  EXPECT_EQ(filter->origin, default_profile);
  EXPECT_EQ(errno_under(filter->program, SYS_kexec_load), EPERM);
  EXPECT_EQ(errno_under(filter->program, SYS_init_module), EPERM);
  EXPECT_EQ(errno_under(filter->program, SYS_getpid), 0);
  EXPECT_EQ(errno_under(filter->program, SYS_close), EBADF);
}

TEST(Seccomp, AProfileThatIsNotUnderstoodIsAnError) {
  std::string path = "/tmp/mayfly-seccomp-XXXXXX";
  close(mkstemp(path.data()));
  for (
      const char* text :
      {"", "[]", "{}", R"({"defaultAction":"SCMP_ACT_WHATEVER","syscalls":[]})",
       R"({"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"?"}]}]})"}) {
    ASSERT_TRUE(os::write_file_atomically(path, text));
    EXPECT_FALSE(compile_seccomp_filter(path)) << text;
  }
  unlink(path.c_str());
}

}  // namespace
}  // namespace mayfly::local
