#include "agent/job_process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "agent/options.h"
#include "base/text.h"

namespace mayfly::agent {
namespace {

constexpr const char* default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// A larger pipe saves few wake-ups, and all pipes of a user count against one quota of the host (pipe-user-pages-soft,
// 64 MiB): beyond it every other pipe shrinks to two pages. 256 KiB for one stream leaves room for 200 builders.
constexpr int pipe_size = 256 << 10;

// Under memory pressure the kernel should take the job, never its agent: then there is someone to tell what happened.
constexpr const char* oom_score = "500";

enum Step { step_none, step_descriptors, step_directory, step_groups, step_user, step_privileges, step_exec };

const char* describe(int step) {
  switch (step) {
    case step_descriptors:
      return "cannot set up its input and output";
    case step_directory:
      return "cannot enter its working directory";
    case step_groups:
      return "cannot take the groups of its user";
    case step_user:
      return "cannot become its user";
    case step_privileges:
      return "cannot give up privileges";
    default:
      return "cannot be executed";
  }
}

// All that the child needs, made ready before vfork: between vfork and exec it shares our memory, so it must not
// allocate.
struct Launch {
  std::vector<std::string> candidates;  // paths to try, in order
  std::vector<char*> argv, envp;
  const User* user = nullptr;
  const char* directory = nullptr;
  int in = -1, out = -1, err = -1;
  volatile int failed_step = step_none, failed_errno = 0;  // written by the child, which runs in our memory
};

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const auto& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

void raise_oom_score() {
  int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  [[maybe_unused]] auto n = ::write(fd, oom_score, std::strlen(oom_score));
  ::close(fd);
}

// Straight system calls: the C library's own would tell other threads, and there are none.
bool become(const User& user) {
  return ::syscall(SYS_setresgid, user.gid, user.gid, user.gid) == 0 &&
         ::syscall(SYS_setresuid, user.uid, user.uid, user.uid) == 0;
}

bool drop_inheritable() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) return false;
  data[0].inheritable = data[1].inheritable = 0;
  return ::syscall(SYS_capset, &header, data) == 0;
}

void try_exec(Launch& l) {
  int worst = ENOENT;
  for (const auto& path : l.candidates) {
    ::execve(path.c_str(), l.argv.data(), l.envp.data());
    if (errno == ENOENT || errno == ENOTDIR) continue;
    worst = errno;
    if (errno != EACCES) break;  // as execvp: a directory that may not be searched does not hide later ones
  }
  errno = worst;
}

[[noreturn]] __attribute__((noinline)) void child(Launch& l) {
  auto fail_at = [&l](Step step) {
    l.failed_errno = errno;
    l.failed_step = step;
    ::_exit(127);
  };
  ::setsid();
  raise_oom_score();
  if (::dup2(l.in, 0) < 0 || ::dup2(l.out, 1) < 0 || ::dup2(l.err, 2) < 0) fail_at(step_descriptors);
  ::syscall(SYS_close_range, 3U, ~0U, 4U /* CLOSE_RANGE_CLOEXEC: what a launcher may have left open */);
  ::umask(022);
  if (::syscall(SYS_setgroups, l.user->groups.size(), l.user->groups.data()) != 0 && !l.user->groups.empty())
    fail_at(step_groups);
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (!become(*l.user)) fail_at(step_user);
  if (::chdir(l.directory) != 0) fail_at(step_directory);  // as the user: a job must be able to be where it works
  if (!drop_inheritable() || ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail_at(step_privileges);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  try_exec(l);
  fail_at(step_exec);
  ::_exit(127);
}

std::vector<std::string> candidates_for(const std::string& name, const std::string& path) {
  if (name.find('/') != std::string::npos) return {name};
  std::vector<std::string> out;
  for (const auto& directory : split(path, ':')) out.push_back((directory.empty() ? "." : directory) + "/" + name);
  return out;
}

// The file among the candidates that exists, seen from the job's directory; empty: none does.
std::string existing(const Launch& l) {
  Fd at(::open(l.directory, O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat st{};
  for (const auto& c : l.candidates)
    if (::fstatat(at.get(), c.c_str(), &st, 0) == 0 && S_ISREG(st.st_mode)) return c;
  return {};
}

// The program named by a #! line, or "".
std::string interpreter_of(const Launch& l, const std::string& file) {
  Fd at(::open(l.directory, O_PATH | O_DIRECTORY | O_CLOEXEC));
  Fd fd(::openat(at.get(), file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  char head[256];
  auto n = fd ? ::read(fd.get(), head, sizeof head) : 0;
  std::string_view text(head, n > 0 ? static_cast<std::size_t>(n) : 0);
  if (!text.starts_with("#!")) return {};
  auto line = trim(text.substr(2, text.find('\n') - 2));
  return std::string(line.substr(0, line.find_first_of(" \t")));
}

SpawnFailure exec_failure(const Launch& l, const std::string& name, const std::string& path, int error) {
  auto found = existing(l);
  if (error == ENOENT || error == ENOTDIR) {
    if (!found.empty()) {
      auto interpreter = interpreter_of(l, found);
      return {JobCause::command_not_found,
              "'" + found + "' is in the image, but " +
                  (interpreter.empty() ? "the loader or a library that it is linked with is not"
                                       : "'" + interpreter + "', which its first line asks for, is not")};
    }
    if (name.find('/') != std::string::npos)
      return {JobCause::command_not_found, "there is no '" + name + "' in the image or the workspace"};
    return {JobCause::command_not_found, "command '" + name + "' is not in the image (looked in PATH=" + path + ")"};
  }
  if (error == EACCES || error == ENOEXEC || error == EPERM || error == ELIBBAD || error == ETXTBSY || error == EISDIR)
    return {JobCause::not_executable,
            "'" + (found.empty() ? name : found) + "' cannot be executed: " + std::strerror(error) +
                (error == ENOEXEC ? " (neither a program for this machine nor a script with a #! line)" : "")};
  if (error == E2BIG)
    return {JobCause::start_failed, "the command's arguments and environment are too large together for the kernel"};
  return {JobCause::start_failed, "'" + name + "' cannot be executed: " + std::strerror(error)};
}

SpawnFailure cannot(const char* what) {
  return {JobCause::start_failed, std::string("the agent ") + what + ": " + std::strerror(errno)};
}

}  // namespace

tl::expected<Spawned, SpawnFailure> spawn(const Command& command) {
  Launch l;
  int out[2], err[2];
  Fd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null) return tl::unexpected(cannot("cannot open /dev/null"));
  if (::pipe2(out, O_CLOEXEC) != 0) return tl::unexpected(cannot("cannot make a pipe"));
  Fd out_read(out[0]), out_write(out[1]);
  if (::pipe2(err, O_CLOEXEC) != 0) return tl::unexpected(cannot("cannot make a pipe"));
  Fd err_read(err[0]), err_write(err[1]);
  ::fcntl(out_write.get(), F_SETPIPE_SZ, pipe_size);  // refused beyond the host's quota, and then the default does
  std::vector<std::string> env;
  for (const auto& [key, value] : command.env) env.push_back(key + "=" + value);
  auto path = command.env.find("PATH");
  std::string search = path == command.env.end() ? default_path : path->second;
  l.candidates = candidates_for(command.argv[0], search);
  l.argv = pointers(command.argv);
  l.envp = pointers(env);
  l.user = &command.user;
  l.directory = command.directory.c_str();
  l.in = null.get(), l.out = out_write.get(), l.err = err_write.get();
  pid_t pid = ::vfork();  // not fork: copying page tables is the largest part of starting a job
  if (pid == 0) child(l);
  if (pid < 0) return tl::unexpected(cannot("cannot start a process"));
  if (l.failed_step == step_none) return Spawned{pid, std::move(out_read), std::move(err_read)};
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
  if (l.failed_step == step_exec) return tl::unexpected(exec_failure(l, command.argv[0], search, l.failed_errno));
  return tl::unexpected(SpawnFailure{JobCause::start_failed, std::string("the job ") + describe(l.failed_step) + ": " +
                                                                 std::strerror(l.failed_errno)});
}

std::map<std::string, std::string> job_environment(std::map<std::string, std::string> env,
                                                   const std::map<std::string, std::string>& secrets,
                                                   const User& user) {
  for (const auto& [variable, value] : secrets) env[variable] = value;
  env.try_emplace("PATH", default_path);
  env.try_emplace("HOME", user.home);
  if (!user.name.empty()) env.try_emplace("USER", user.name);
  env["MAYFLY_WORKSPACE"] = workspace_path;
  return env;
}

static std::string script_path(JobId job) { return std::string(script_directory) + "/job-" + std::to_string(job); }

Result<std::vector<std::string>> write_script(const std::string& text, JobId job) {
  ::mkdir("/tmp", 01777);
  ::mkdir(script_directory, 0755);
  auto path = script_path(job);
  {
    // O_EXCL and O_NOFOLLOW: an image must not lead the agent to another file.
    Fd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755));
    if (!fd) return Unexpected(errno_error("cannot create the job's script", errno, path));
    ::fchmod(fd.get(), 0755);
    for (std::size_t done = 0; done < text.size();) {
      auto n = ::write(fd.get(), text.data() + done, text.size() - done);
      if (n < 0) return Unexpected(errno_error("cannot write the job's script", errno, path));
      done += static_cast<std::size_t>(n);
    }
  }
  if (text.starts_with("#!")) return std::vector<std::string>{path};
  return std::vector<std::string>{"/bin/sh", "-e", path};
}

void remove_script(JobId job) {
  ::unlink(script_path(job).c_str());
  ::rmdir(script_directory);
}

}  // namespace mayfly::agent
