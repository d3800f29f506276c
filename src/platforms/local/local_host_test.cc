// What is particular to `local`: networks, and what a killed launcher leaves.
#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include <gtest/gtest.h>

#include "agent/embedded.h"
#include "platforms/local/launcher_support.h"
#include "platforms/local/local.h"
#include "tests/contract/agent_line.h"
#include "tests/contract/test_image.h"

namespace mayfly::local {
namespace {

using testing_support::run_job;
using testing_support::script_job;
using testing_support::SharedImage;

class LocalHost : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    for (const char* program : {"crun", "skopeo", "buildah", "busybox", "ip"})
      if (os::find_program(program).empty()) GTEST_SKIP() << program << " is not installed";
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
  }
  void TearDown() override {
    platform_.reset();
    const auto patience = soon();
    while (!launcher_processes().empty() && std::chrono::steady_clock::now() < patience) std::this_thread::yield();
    EXPECT_TRUE(launcher_processes().empty()) << "a launcher or a slot outlived the daemon";
    for (const auto& root : names_in("/sys/fs/cgroup"))
      EXPECT_NE(access(("/sys/fs/cgroup/" + root + cgroup_).c_str(), F_OK), 0) << root << cgroup_ << " remains";
    EXPECT_TRUE(os::remove_tree(directory_));
  }
  void start() {
    platform_.reset();
    LocalOptions options;
    options.directory = directory_ + "/p";
    options.agent_program = agent::embedded_agent();
    options.runtime = "crun";
    auto made = LocalPlatform::create(options, log_);
    ASSERT_TRUE(made) << made.error().text();
    platform_ = std::move(*made);
    cgroup_ = platform_->setup().cgroup;
  }
  BuilderRequest request(const BuilderId& id, Network network = Network::none) {
    BuilderRequest r;
    r.id = id;
    r.image = platform_->prepare(*SharedImage::reference(), soon()).value();
    r.limits.memory = 256 << 20;
    r.limits.disk = 16 << 20;
    r.limits.pids = 64;
    r.network = network;
    return r;
  }
  std::string run(const BuilderRequest& r, const std::string& script) {
    auto launched = platform_->launch(r, soon());
    EXPECT_TRUE(launched) << launched.error().text();
    if (!launched) return "";
    auto outcome = run_job(platform_->agent_address(r.id), directory_, script_job(script));
    EXPECT_TRUE(outcome) << outcome.error().text();
    EXPECT_TRUE(platform_->stop(r.id, soon()));
    return outcome ? outcome->log : "";
  }
  static Deadline soon() { return after(seconds(30)); }

  // The launcher alone, as the kernel's OOM killer would: its idle slots are to notice by themselves.
  std::vector<int> launcher_processes() const {
    std::vector<int> found;
    for (const auto& pid : names_in("/proc")) {
      char target[PATH_MAX] = {};
      if (pid[0] < '1' || pid[0] > '9') continue;
      if (readlink(("/proc/" + pid + "/exe").c_str(), target, sizeof target - 1) < 0) continue;
      if (std::string(target).starts_with(directory_ + "/p/launcher")) found.push_back(std::stoi(pid));
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  void kill_launcher() const {
    const auto processes = launcher_processes();
    for (const int pid : processes) {
      const std::string stat = os::read_file("/proc/" + std::to_string(pid) + "/stat", 4096).value_or("");
      const auto parent = std::atoi(stat.substr(std::min(stat.size(), stat.rfind(") ") + 4)).c_str());
      if (parent == getpid()) kill(pid, SIGKILL);
    }
  }

  std::string directory_ = "/tmp/mf-XXXXXX", cgroup_ = "/mayfly-none";
  Log log_{LogLevel::error};
  std::unique_ptr<LocalPlatform> platform_;
};

// A network namespace standing in for the host's, with an address of its own: the launcher and slirp4netns inherit it.
class HostNetwork {
 public:
  HostNetwork() : before_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
    usable_ = unshare(CLONE_NEWNET) == 0;
    usable_ = usable_ && ip({"link", "set", "lo", "up"}) && ip({"addr", "add", "192.0.2.77/32", "dev", "lo"});
  }
  ~HostNetwork() { (void)setns(before_.get(), CLONE_NEWNET); }
  bool usable() const { return usable_; }

 private:
  static bool ip(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "ip");
    const auto done = os::run({.argv = arguments});
    return done && done->ok();
  }
  os::Fd before_;
  bool usable_ = false;
};

// Listens on an address of the host; whoever connects is greeted with "reached".
class Server {
 public:
  explicit Server(const char* address) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    inet_pton(AF_INET, address, &at.sin_addr);
    EXPECT_EQ(bind(socket_.get(), reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(listen(socket_.get(), 8), 0);
    socklen_t size = sizeof at;
    getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this] {
      for (int peer; (peer = accept(socket_.get(), nullptr, nullptr)) >= 0; close(peer))
        (void)!write(peer, "reached\n", 8);
    });
  }
  ~Server() {
    shutdown(socket_.get(), SHUT_RDWR);
    thread_.join();
  }
  std::string port() const { return std::to_string(port_); }

 private:
  os::Fd socket_;
  int port_ = 0;
  std::thread thread_;
};

TEST_F(LocalHost, EgressReachesOutButNotTheHostsLoopback) {
  if (os::find_program("slirp4netns").empty()) GTEST_SKIP() << "slirp4netns is not installed";
  if (access("/dev/net/tun", F_OK) != 0) GTEST_SKIP() << "/dev/net/tun is missing, so slirp4netns cannot work";
  HostNetwork host;
  if (!host.usable()) GTEST_SKIP() << "no network namespace can stand in for the host's";
  Server outside("192.0.2.77"), loopback("127.0.0.1");
  start();
  ASSERT_TRUE(platform_);
  const std::string log =
      run(request("net-1", Network::egress),
          "set +e; nc -w 5 192.0.2.77 " + outside.port() + " 2>/dev/null </dev/null; echo; nc -w 2 10.0.2.2 " +
              loopback.port() + " 2>/dev/null </dev/null || echo refused; nc -w 2 127.0.0.1 " + loopback.port() +
              " 2>/dev/null </dev/null || echo refused; cat /etc/resolv.conf");
  EXPECT_EQ(log, "reached\n\nrefused\nrefused\nnameserver 10.0.2.3\n") << log;
}

TEST_F(LocalHost, HostNetworkIsTheHosts) {
  HostNetwork host;
  if (!host.usable()) GTEST_SKIP() << "no network namespace can stand in for the host's";
  Server loopback("127.0.0.1");
  start();
  ASSERT_TRUE(platform_);
  EXPECT_EQ(run(request("net-2", Network::host),
                "nc -w 5 127.0.0.1 " + loopback.port() + " 2>/dev/null </dev/null; hostname"),
            "reached\nnet-2\n");
  EXPECT_EQ(run(request("net-3", Network::none),
                "nc -w 5 127.0.0.1 " + loopback.port() + " 2>/dev/null </dev/null || echo refused"),
            "refused\n");
}

TEST_F(LocalHost, ALauncherKilledAtAnyStepLeavesNothingThatStopDoesNotRemove) {
  start();
  ASSERT_TRUE(platform_);
  for (const std::string step : {"", "/slot", "/stderr", "/pid", "/alive"}) {
    const BuilderRequest r = request("killed-1");
    std::atomic<bool> done = false;
    std::thread launch([&] {
      (void)platform_->launch(r, soon());
      done = true;
    });
    while (!done && access((directory_ + "/p/b/killed-1" + step).c_str(), F_OK) != 0) std::this_thread::yield();
    kill_launcher();
    launch.join();
    start();
    ASSERT_TRUE(platform_) << step;
    auto seen = platform_->list(soon());
    ASSERT_TRUE(seen);
    for (const auto& builder : *seen) EXPECT_TRUE(platform_->stop(builder.id, soon()));
    EXPECT_TRUE(names_in(directory_ + "/p/b").empty() && names_in(directory_ + "/p/r").empty() &&
                names_in(directory_ + "/p/trash").empty())
        << step;
    EXPECT_EQ(run(request("after-1"), "echo fine"), "fine\n") << step;
  }
}

// After a power failure a directory may have lost what was written to it last.
TEST_F(LocalHost, WhatNoRecordKnowsOfIsRemovedAtTheNextStart) {
  start();
  ASSERT_TRUE(platform_);
  const std::string lost = "/slost-1", kept = "kept-1";
  ASSERT_TRUE(platform_->launch(request(kept), soon()));
  std::vector<std::string> remains = {directory_ + "/p/r" + lost};
  if (!cgroup_.empty())
    for (const auto& root : platform_->setup().all_cgroup_roots) remains.push_back(root + cgroup_ + lost);
  for (const auto& path : remains) ASSERT_TRUE(os::make_directories(path)) << path;
  kill_launcher();
  start();
  ASSERT_TRUE(platform_);
  EXPECT_TRUE(platform_->launch(request("next-1"), soon()));  // by then the launcher has begun
  for (const auto& path : remains) EXPECT_NE(access(path.c_str(), F_OK), 0) << path;
  auto seen = platform_->list(soon());
  ASSERT_TRUE(seen);
  EXPECT_EQ(seen->size(), 2U);
  for (const auto& builder : *seen) {
    EXPECT_TRUE(builder.alive) << builder.id;
    EXPECT_TRUE(platform_->stop(builder.id, soon()));
  }
}

TEST_F(LocalHost, AKilledLauncherIsReplaced) {
  start();
  ASSERT_TRUE(platform_);
  const BuilderRequest r = request("again-1");
  kill_launcher();
  Result<void> launched;
  for (int attempt = 0; attempt < 3 && (attempt == 0 || !launched); ++attempt) launched = platform_->launch(r, soon());
  EXPECT_TRUE(launched) << launched.error().text();
  EXPECT_TRUE(platform_->stop("again-1", soon()));
}

TEST_F(LocalHost, AStateDirectoryLongerThanASocketAddressWorks) {
  directory_ += "/" + std::string(100, 'x');
  ASSERT_TRUE(os::make_directories(directory_));
  start();
  ASSERT_TRUE(platform_);
  EXPECT_EQ(run(request("long-1"), "echo fine"), "fine\n");
  platform_.reset();
  directory_.resize(directory_.size() - 101);
}

}  // namespace
}  // namespace mayfly::local
