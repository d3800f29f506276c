#include "platforms/local/networks.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "platforms/local/launcher_support.h"

namespace mayfly::local {
namespace {

using os::Fd;

constexpr std::size_t words_limit = 600;
constexpr auto start_patience = std::chrono::seconds(5);  // usually it takes some hundredths of one

std::string failed(const std::string& what) { return what + ": " + std::strerror(errno); }

bool make_pipe(Fd& read_end, Fd& write_end) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  read_end.reset(ends[0]);
  write_end.reset(ends[1]);
  return true;
}

// The descriptors given become 0, 1, 2, …, and no others stay: a copy of the launcher's ends in the wrong process would
// keep alive what is to end with them.
void keep_only(std::vector<int> fds) {
  for (int& fd : fds) fd = fcntl(fd, F_DUPFD, 100);
  for (std::size_t i = 0; i < fds.size(); ++i) dup2(fds[i], static_cast<int>(i));
  close_range(static_cast<unsigned>(fds.size()), ~0u, 0);
}

void be_an_ordinary_process() {
  setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Says by one byte that the namespaces are there, and stays until `keep` closes.
[[noreturn]] void be_holder(int keep, int made) {
  be_an_ordinary_process();
  signal(SIGTERM, SIG_DFL);
  keep_only({keep, made});
  const bool good = unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
  // Else /proc/PID/ns would be the host root's alone, and an ordinary user's launcher could not hand it on.
  prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  const char answer = good ? '\0' : static_cast<char>(errno);
  (void)!write(1, &answer, 1);
  close(1);
  char byte;
  if (good) (void)!read(0, &byte, 1);
  _exit(0);
}

// Waits for the holder, maps its users, and becomes slirp4netns. SIGPIPE stays ignored, as in the launcher: nobody
// reads what it says once it is ready.
[[noreturn]] void be_slirp(const LauncherSetup& setup, pid_t holder, int made, int leave, int ready, int words) {
  be_an_ordinary_process();
  const int null = open("/dev/null", O_RDONLY);
  keep_only({null, words, words, ready, leave, made});
  char answer = static_cast<char>(EPIPE);
  if (read(5, &answer, 1) != 1 || answer != 0) {
    dprintf(2, "cannot make a network namespace: %s\n", std::strerror(answer));
    _exit(127);
  }
  close(5);
  const std::string pid = std::to_string(holder);
  // It changes its root and unmounts the old one: what the launcher shares with slots must not go with that.
  if (unshare(CLONE_NEWNS) != 0 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
    dprintf(2, "cannot make a mount namespace: %s\n", std::strerror(errno));
    _exit(127);
  }
  if (!map_users(setup, holder)) {
    dprintf(2, "cannot map the users of the network's namespace: %s\n", std::strerror(errno));
    _exit(127);
  }
  execlp("slirp4netns", "slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox",
         "--enable-seccomp", "--ready-fd=3", "--exit-fd=4", pid.c_str(), "tap0", nullptr);
  dprintf(2, "cannot execute slirp4netns: %s\n", std::strerror(errno));
  _exit(127);
}

std::string said(const Fd& words) {
  std::string text(64u << 10, '\0');
  fcntl(words.get(), F_SETFL, O_NONBLOCK);
  const auto n = read(words.get(), text.data(), text.size());
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.size() > words_limit ? "…" + text.substr(text.size() - words_limit) : text;
}

}  // namespace

std::string Networks::prepare(std::size_t count) {
  while (starting_.size() + ready_.size() < count)
    if (auto error = start(); !error.empty()) return error;
  return "";
}

std::string Networks::start() {
  EgressNetwork network;
  Fd keep_read, made_read, made_write, leave, ready_write, words_write;
  if (!make_pipe(keep_read, network.keep) || !make_pipe(made_read, made_write) || !make_pipe(leave, network.hold) ||
      !make_pipe(network.ready, ready_write) || !make_pipe(network.words, words_write))
    return failed("cannot make a pipe");
  network.holder = fork();
  if (network.holder == 0) be_holder(keep_read.get(), made_write.get());
  if (network.holder < 0) return failed("cannot fork");
  made_write.reset();
  network.slirp = fork();
  if (network.slirp == 0)
    be_slirp(setup_, network.holder, made_read.get(), leave.get(), ready_write.get(), words_write.get());
  if (network.slirp < 0) return failed("cannot fork");  // the holder ends by itself
  starting_.push_back(std::move(network));
  return "";
}

std::optional<EgressNetwork> Networks::take() {
  if (ready_.empty()) return std::nullopt;
  EgressNetwork network = std::move(ready_.front());
  ready_.erase(ready_.begin());
  return network;
}

void Networks::add_to(std::vector<pollfd>& fds) const {
  for (const auto& network : starting_) fds.push_back({network.ready.get(), POLLIN, 0});
}

std::vector<std::string> Networks::look() {
  std::vector<std::string> errors;
  for (std::size_t i = 0; i < starting_.size();) {
    pollfd readable{starting_[i].ready.get(), POLLIN, 0};
    if (poll(&readable, 1, 0) <= 0) {
      ++i;
      continue;
    }
    EgressNetwork network = std::move(starting_[i]);
    starting_.erase(starting_.begin() + static_cast<std::ptrdiff_t>(i));
    char byte = 0;
    if (read(network.ready.get(), &byte, 1) == 1) {
      network.ready.reset();
      network.words.reset();
      ready_.push_back(std::move(network));
    } else {
      errors.push_back("slirp4netns could not set up the network: " + said(network.words));
    }
  }
  return errors;
}

bool Networks::ended(pid_t pid) {
  for (auto& network : starting_) {  // look() finds out about it; but its number may be another's from now on
    if (network.holder == pid) network.holder = -1;
    if (network.slirp == pid) network.slirp = -1;
  }
  const auto lost = std::find_if(ready_.begin(), ready_.end(),
                                 [pid](const EgressNetwork& n) { return n.holder == pid || n.slirp == pid; });
  if (lost == ready_.end()) return false;
  ready_.erase(lost);  // its ends close, so that its other process ends too
  return true;
}

void Networks::end_stuck() {
  for (const auto& network : starting_)
    if (network.slirp > 1 && std::chrono::steady_clock::now() - network.begun > start_patience)
      kill(network.slirp, SIGKILL);
}

void Networks::forget() {
  starting_.clear();
  ready_.clear();
}

void Networks::end() {
  for (auto* networks : {&starting_, &ready_}) {
    for (const auto& network : *networks)
      for (const pid_t pid : {network.slirp, network.holder}) {
        if (pid <= 1) continue;
        kill(pid, SIGKILL);
        waitpid(pid, nullptr, 0);
      }
    networks->clear();
  }
}

}  // namespace mayfly::local
