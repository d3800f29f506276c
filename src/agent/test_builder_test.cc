#include "agent/test_builder.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "agent/embedded.h"
#include "agent/options.h"

namespace mayfly::agent {
namespace {

constexpr int patience_ms = 30'000;

[[noreturn]] void give_up(int report, const char* step) {
  auto text = std::string(step) + ": " + std::strerror(errno);
  [[maybe_unused]] auto n = ::write(report, text.data(), text.size());
  ::_exit(99);
}

void map_user(int report, uid_t uid, gid_t gid) {
  auto put = [&](const char* path, const std::string& text) {
    Fd fd(::open(path, O_WRONLY | O_CLOEXEC));
    if (!fd || ::write(fd.get(), text.data(), text.size()) < 0) give_up(report, path);
  };
  put("/proc/self/setgroups", "deny");
  put("/proc/self/uid_map", "0 " + std::to_string(uid) + " 1");
  put("/proc/self/gid_map", "0 " + std::to_string(gid) + " 1");
}

// Below `root`: a file system of its own with the host's programs, read-only by nature of the test, and four devices.
void make_root(int report, const std::string& root, const std::string& size) {
  auto need = [&](bool done, const char* step) {
    if (!done) give_up(report, step);
  };
  need(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "making mounts private");
  need(::mount("tmpfs", root.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0, "mounting a tmpfs");
  for (std::string name : {"/usr", "/bin", "/sbin", "/lib", "/lib64"}) {
    struct stat st{};
    if (::lstat(name.c_str(), &st) != 0) continue;
    if (S_ISLNK(st.st_mode)) {
      std::filesystem::copy_symlink(name, root + name);
      continue;
    }
    std::filesystem::create_directory(root + name);
    need(::mount(name.c_str(), (root + name).c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0,
         "bind-mounting programs");
  }
  for (auto name : {"/dev", "/etc", "/proc", "/tmp", "/.mayfly"}) std::filesystem::create_directory(root + name);
  ::chmod((root + "/tmp").c_str(), 01777);
  auto file = [&](const std::string& name, std::string_view text) {
    Fd fd(::open((root + name).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    need(fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()), "writing a file");
  };
  file("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nbuilder:x:1000:1000::/home/builder:/bin/sh\n");
  file("/etc/group", "root:x:0:\nbuilder:x:1000:\nextra:x:2000:builder\n");
  for (std::string name : {"/dev/null", "/dev/zero", "/dev/full", "/dev/urandom"}) {
    file(name, "");
    need(::mount(name.c_str(), (root + name).c_str(), nullptr, MS_BIND, nullptr) == 0, "bind-mounting devices");
  }
  file(agent_path, "");
  need(::mount(MAYFLY_AGENT_BINARY, (root + agent_path).c_str(), nullptr, MS_BIND, nullptr) == 0,
       "bind-mounting the agent");
  need(::mount("proc", (root + "/proc").c_str(), "proc", 0, nullptr) == 0, "mounting proc");
  need(::chroot(root.c_str()) == 0 && ::chdir("/") == 0, "entering the root");
}

[[noreturn]] void become_agent(int report, int listener, int oom, const TestBuilderOptions& options) {
  int l = ::fcntl(listener, F_DUPFD, 20), o = ::fcntl(oom, F_DUPFD, 20);
  // What container runtimes leave to a container: with more, a job could look into its agent.
  for (int c = 0; c <= 63; ++c) {
    constexpr std::uint64_t kept = 1U << CAP_CHOWN | 1U << CAP_DAC_OVERRIDE | 1U << CAP_FOWNER | 1U << CAP_KILL |
                                   1U << CAP_SETGID | 1U << CAP_SETUID | 1U << CAP_SYS_CHROOT | 1U << CAP_SETFCAP;
    if ((kept >> c & 1) == 0) ::prctl(PR_CAPBSET_DROP, c);
  }
  if (::dup2(l, listen_fd) < 0 || ::dup2(o, oom_fd) < 0) give_up(report, "placing descriptors");
  auto listen_number = std::to_string(listen_fd), oom_number = std::to_string(oom_fd);
  auto grace = std::to_string(options.orphan_grace_ms);
  std::vector<const char*> argv{agent_path,         listen_fd_flag,    listen_number.c_str(), oom_fd_flag,
                                oom_number.c_str(), orphan_grace_flag, grace.c_str()};
  auto seccomp_number = std::to_string(seccomp_fd);
  Fd filter(::memfd_create("seccomp", MFD_CLOEXEC));
  if (options.seccomp) {
    write_all(filter.get(), *options.seccomp);
    if (::dup2(filter.get(), seccomp_fd) < 0) give_up(report, "placing descriptors");
    argv.insert(argv.end(), {seccomp_fd_flag, seccomp_number.c_str()});
  }
  argv.push_back(nullptr);
  const char* envp[] = {nullptr};
  ::execve(agent_path, const_cast<char**>(argv.data()), const_cast<char**>(envp));
  give_up(report, "starting the agent");
}

}  // namespace

std::string read_all(int fd) {
  std::string out;
  std::vector<char> piece(1U << 20);
  for (;;) {
    auto n = ::pread(fd, piece.data(), piece.size(), static_cast<off_t>(out.size()));
    if (n <= 0) return out;
    out.append(piece.data(), static_cast<std::size_t>(n));
  }
}

void write_all(int fd, std::string_view text) {
  ASSERT_EQ(::pwrite(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
}

TestFiles::TestFiles()
    : log(::memfd_create("log", MFD_CLOEXEC)),
      index(::memfd_create("index", MFD_CLOEXEC)),
      result(::memfd_create("result", MFD_CLOEXEC)),
      input(::memfd_create("input", MFD_CLOEXEC)),
      output(::memfd_create("output", MFD_CLOEXEC)) {}

std::string TestFiles::log_text() const { return read_all(log.get()); }

std::vector<LogRecord> TestFiles::records() const {
  auto bytes = read_all(index.get());
  EXPECT_EQ(bytes.size() % LogRecord::size, 0U);
  std::vector<LogRecord> out;
  for (std::size_t i = 0; i + LogRecord::size <= bytes.size(); i += LogRecord::size)
    out.push_back(decode_log_record(reinterpret_cast<const unsigned char*>(bytes.data()) + i));
  return out;
}

std::string TestFiles::stream(LogStream which) const {
  auto text = log_text();
  std::string out;
  std::size_t from = 0;
  for (const auto& r : records()) {
    if (r.stream == which) out += text.substr(from, r.end - from);
    from = r.end;
  }
  EXPECT_EQ(from, text.size()) << "bytes that no record covers";
  return out;
}

TestBuilder::TestBuilder(const TestBuilderOptions& options) : oom_(::memfd_create("oom", MFD_CLOEXEC)) {
  char name[] = "/tmp/mayfly-agent-XXXXXX";
  directory_ = ::mkdtemp(name);
  std::filesystem::create_directory(directory_ / "root");
  write_all(oom_.get(), "oom 0\noom_kill 0\n");
  Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (directory_ / "sock").c_str(), sizeof address.sun_path - 1);
  EXPECT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(::listen(listener.get(), 8), 0);
  int report[2];
  EXPECT_EQ(::pipe2(report, O_CLOEXEC), 0);
  Fd report_read(report[0]), report_write(report[1]);
  auto uid = ::geteuid();
  auto gid = ::getegid();
  unsigned long flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | SIGCHLD | (uid != 0 ? CLONE_NEWUSER : 0);
  auto child = static_cast<pid_t>(::syscall(SYS_clone, flags, nullptr, nullptr, nullptr, 0));
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that is killed must leave nothing
    if (uid != 0) map_user(report[1], uid, gid);
    make_root(report[1], directory_ / "root", options.disk);
    become_agent(report[1], listener.get(), oom_.get(), options);
  }
  if (child < 0) {
    missing_ = std::string("this host allows no pid and mount namespaces here (clone: ") + std::strerror(errno) + ")";
    return;
  }
  pid_ = child;
  report_write.reset();
  char text[256];
  auto n = ::read(report_read.get(), text, sizeof text);
  if (n > 0) missing_ = "this host allows no container here (" + std::string(text, static_cast<std::size_t>(n)) + ")";
}

TestBuilder::~TestBuilder() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

void TestBuilder::connect() {
  in_.clear();
  line_ = Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, (directory_ / "sock").c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(::connect(line_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << std::strerror(errno);
}

void TestBuilder::send(const ToAgent& message) {
  auto bytes = frame(encode(message));
  ASSERT_EQ(::send(line_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

void TestBuilder::assign(const Assign& order, const TestFiles& files) {
  std::vector<int> fds{files.log.get(), files.index.get(), files.result.get()};
  if (order.has_input) fds.push_back(files.input.get());
  if (!order.output.empty()) fds.push_back(files.output.get());
  auto bytes = frame(encode(ToAgent(order)));
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 5)] = {};
  iovec piece{bytes.data(), bytes.size()};
  msghdr m{};
  m.msg_iov = &piece;
  m.msg_iovlen = 1;
  m.msg_control = control;
  m.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
  auto* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
  std::memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
  ASSERT_EQ(::sendmsg(line_.get(), &m, MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
}

std::optional<FromAgent> TestBuilder::receive() {
  for (;;) {
    if (in_.size() >= 4) {
      std::uint32_t length = 0;
      std::memcpy(&length, in_.data(), 4);
      if (in_.size() >= 4 + std::size_t{length}) {
        auto message = decode_from_agent(std::string_view(in_).substr(4, length));
        in_.erase(0, 4 + std::size_t{length});
        if (!message) return ADD_FAILURE() << message.error().text(), std::nullopt;
        return *message;
      }
    }
    pollfd p{line_.get(), POLLIN, 0};
    if (::poll(&p, 1, patience_ms) <= 0) return std::nullopt;
    char bytes[65536];
    auto n = ::recv(line_.get(), bytes, sizeof bytes, 0);
    if (n <= 0) return std::nullopt;
    in_.append(bytes, static_cast<std::size_t>(n));
  }
}

Finished TestBuilder::run(const Assign& order, const TestFiles& files) {
  connect();
  expect<Hello>();
  assign(order, files);
  auto message = receive();
  if (message && std::holds_alternative<Started>(*message)) message = receive();
  if (message && std::holds_alternative<Finished>(*message)) return std::get<Finished>(*message);
  ADD_FAILURE() << "the job did not finish: " << (message ? encode(*message) : "no message");
  return {};
}

void TestBuilder::set_oom_kills(int n) { write_all(oom_.get(), "oom 9\noom_kill " + std::to_string(n) + "\n"); }

std::string TestBuilder::children() const {
  auto pid = std::to_string(pid_);
  Fd fd(::open(("/proc/" + pid + "/task/" + pid + "/children").c_str(), O_RDONLY | O_CLOEXEC));
  return fd ? read_all(fd.get()) : "cannot read";
}

std::optional<int> TestBuilder::wait_exit() {
  int status = 0;
  if (!eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; })) return std::nullopt;
  pid_ = -1;
  return status;
}

Assign order(std::vector<std::string> argv, JobId id) {
  Assign a;
  a.job = id;
  a.argv = std::move(argv);
  a.env = {{"PATH", "/usr/local/bin:/usr/bin:/bin"}};
  a.timeout = seconds(60);
  a.grace = milliseconds(200);
  a.log_limit = 1LL << 30;
  return a;
}

Assign shell(std::string script, JobId id) {
  auto a = order({}, id);
  a.script = std::move(script);
  return a;
}

bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < patience_ms; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(milliseconds(1));
  }
  return false;
}

TEST(Embedded, IsTheProgramThatWasBuilt) {
  Fd fd(::open(MAYFLY_AGENT_BINARY, O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd);
  EXPECT_TRUE(read_all(fd.get()) == embedded_agent());  // not EXPECT_EQ: it would print two megabytes
  EXPECT_EQ(embedded_agent().substr(0, 4),
            "\x7f"
            "ELF");
}

}  // namespace mayfly::agent
