#include "agent/job_process.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "agent/options.h"
#include "agent/tracee.h"
#include "base/text.h"

namespace mayfly::agent {
namespace {

constexpr const char* default_path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// A larger pipe saves few wake-ups, and all pipes of a user count against one quota of the host (pipe-user-pages-soft,
// 64 MiB): beyond it every other pipe shrinks to two pages. 256 KiB for one stream leaves room for 200 builders.
constexpr int pipe_size = 256 << 10;

// Under memory pressure the kernel should take the job, never its agent: then there is someone to tell what happened.
constexpr const char* oom_score = "500";

enum Step {
  step_none,
  step_descriptors,
  step_directory,
  step_groups,
  step_user,
  step_privileges,
  step_stand_by,
  step_exec
};

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
    case step_stand_by:
      return "cannot wait for its order";
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
  bool stand_by = false;                                   // be traced, and so stop once exec is done
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
  if (l.stand_by && ::syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0) != 0) fail_at(step_stand_by);
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

bool make_pipe(Fd& read, Fd& write) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  read = Fd(ends[0]), write = Fd(ends[1]);
  return true;
}

void await(pid_t pid, int* status = nullptr) {
  while (::waitpid(pid, status, 0) < 0 && errno == EINTR) continue;
}

SpawnFailure cannot(const char* what) {
  return {JobCause::start_failed, std::string("the agent ") + what + ": " + std::strerror(errno)};
}

}  // namespace

// Everything of the command that has to be there before a process is made for it.
struct Standby::Parts {
  std::vector<std::string> argv, env;
  User user;
  std::string directory, search;
  Fd null, out_read, out_write, err_read, err_write;
  Launch launch;
  pid_t pid = -1;
  std::optional<Tracee> tracee;

  tl::expected<void, SpawnFailure> start(const Command& command);
  Spawned running() { return {std::exchange(pid, -1), std::move(out_read), std::move(err_read)}; }

 private:
  tl::expected<void, SpawnFailure> fill(const Command& command);
  SpawnFailure failure() const;
};

tl::expected<void, SpawnFailure> Standby::Parts::fill(const Command& command) {
  argv = command.argv, user = command.user, directory = command.directory;
  null = Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null) return tl::unexpected(cannot("cannot open /dev/null"));
  if (!make_pipe(out_read, out_write) || !make_pipe(err_read, err_write))
    return tl::unexpected(cannot("cannot make a pipe"));
  ::fcntl(out_write.get(), F_SETPIPE_SZ, pipe_size);  // refused beyond the host's quota, and then the default does
  for (const auto& [key, value] : command.env) env.push_back(key + "=" + value);
  auto path = command.env.find("PATH");
  search = path == command.env.end() ? default_path : path->second;
  launch.candidates = candidates_for(argv[0], search);
  launch.argv = pointers(argv);
  launch.envp = pointers(env);
  launch.user = &user;
  launch.directory = directory.c_str();
  launch.in = null.get(), launch.out = out_write.get(), launch.err = err_write.get();
  return {};
}

SpawnFailure Standby::Parts::failure() const {
  if (launch.failed_step == step_exec) return exec_failure(launch, argv[0], search, launch.failed_errno);
  return {JobCause::start_failed,
          std::string("the job ") + describe(launch.failed_step) + ": " + std::strerror(launch.failed_errno)};
}

// When this returns without an error, exec has succeeded.
tl::expected<void, SpawnFailure> Standby::Parts::start(const Command& command) {
  if (auto filled = fill(command); !filled) return filled;
  pid = ::vfork();  // not fork: copying page tables is the largest part of starting a job
  if (pid == 0) child(launch);
  if (pid < 0) return tl::unexpected(cannot("cannot start a process"));
  for (Fd* end : {&null, &out_write, &err_write}) end->reset();  // else the job's output would never end
  if (launch.failed_step == step_none) return {};
  await(std::exchange(pid, -1));
  return tl::unexpected(failure());
}

tl::expected<Spawned, SpawnFailure> spawn(const Command& command) {
  Standby::Parts parts;
  if (auto started = parts.start(command); !started) return tl::unexpected(started.error());
  return parts.running();
}

Standby::Standby(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Standby::Standby(Standby&&) noexcept = default;

std::optional<Standby> Standby::make(const Command& command) {
  auto parts = std::make_unique<Parts>();
  parts->launch.stand_by = true;
  if (!parts->start(command)) return std::nullopt;
  Standby made(std::move(parts));
  int status = 0;
  await(made.pid(), &status);
  if (WIFSTOPPED(status)) {
    made.parts_->tracee.emplace(made.pid());
    return made;
  }
  made.parts_->pid = -1;  // killed meanwhile
  return std::nullopt;
}

Standby::~Standby() {
  if (!parts_ || parts_->pid < 0) return;
  ::kill(parts_->pid, SIGKILL);
  // A process that stands at a stop says so once more before it says that it is gone.
  int status = 0;
  do await(parts_->pid, &status);
  while (WIFSTOPPED(status));
}

pid_t Standby::pid() const { return parts_ ? parts_->pid : -1; }

bool Standby::changed(int status) {
  if (parts_->tracee->changed(status)) return true;
  parts_->pid = -1;
  return false;
}

std::optional<Spawned> Standby::go() {
  if (parts_->tracee->release()) return parts_->running();
  parts_->pid = parts_->tracee->pid();
  return std::nullopt;
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
