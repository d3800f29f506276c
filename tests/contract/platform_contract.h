#pragma once
// What every platform must do (ports/platform.h). A platform's own test instantiates this suite with a way to make it:
//
//   INSTANTIATE_TEST_SUITE_P(Local, PlatformContract, testing::Values(PlatformUnderTest{…}), platform_test_name);
//
// Jobs in it are run by the real agent, so the suite also holds for what a job can see and do.
#include <functional>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "base/log.h"
#include "ports/platform.h"
#include "tests/contract/agent_line.h"
#include "tests/contract/test_image.h"

namespace mayfly::testing_support {

struct PlatformUnderTest {
  std::string name;
  std::string skip;       // why it cannot be tried on this host; empty: it can
  std::string no_limits;  // why memory and processes are not limited here; empty: they are
  // A platform on this state directory; called again for a daemon that restarted.
  std::function<Result<std::unique_ptr<Platform>>(const std::string& directory, const Log& log)> make;
  // What of the builder is still on the host: one line, empty when nothing.
  std::function<std::string(const std::string& directory, const BuilderId& id)> remains;
  friend std::ostream& operator<<(std::ostream& out, const PlatformUnderTest& p) { return out << p.name; }
};

inline std::string platform_test_name(const testing::TestParamInfo<PlatformUnderTest>& info) { return info.param.name; }

class PlatformContract : public testing::TestWithParam<PlatformUnderTest> {
 protected:
  void SetUp() override {
    if (!GetParam().skip.empty()) GTEST_SKIP() << GetParam().skip;
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    ASSERT_TRUE(os::make_directories(jobs()));
    ASSERT_TRUE(SharedImage::reference()) << SharedImage::reference().error().text();
    restart();
    ASSERT_TRUE(platform_);
    auto image = platform_->prepare(*SharedImage::reference(), soon());
    ASSERT_TRUE(image) << image.error().text();
    image_ = *image;
  }
  void TearDown() override {
    if (platform_) {
      const auto seen = platform_->list(soon());
      for (const auto& builder : seen ? *seen : std::vector<SeenBuilder>{})
        EXPECT_TRUE(platform_->stop(builder.id, soon()));
    }
    platform_.reset();
    EXPECT_TRUE(os::remove_tree(directory_));
  }

  void restart() {
    platform_.reset();
    auto made = GetParam().make(directory_ + "/p", log_);
    ASSERT_TRUE(made) << made.error().text();
    platform_ = std::move(*made);
  }
  static Deadline soon() { return after(seconds(30)); }
  std::string jobs() const { return directory_ + "/job"; }

  BuilderRequest request(const BuilderId& id) const {
    BuilderRequest r;
    r.id = id;
    r.pool = "test";
    r.image = image_;
    r.limits.memory = 256 << 20;
    r.limits.disk = 64 << 20;
    r.limits.pids = 64;
    return r;
  }
  // The output of a script in a builder of its own, which is gone afterwards.
  JobOutcome run(const BuilderRequest& r, const std::string& script) { return run(r, script_job(script)); }
  JobOutcome run(const BuilderRequest& r, agent::Assign assign) {
    auto launched = platform_->launch(r, soon());
    EXPECT_TRUE(launched) << launched.error().text();
    if (!launched) return {};
    auto outcome = run_job(platform_->agent_address(r.id), jobs(), std::move(assign));
    EXPECT_TRUE(outcome) << outcome.error().text();
    EXPECT_TRUE(platform_->stop(r.id, soon()));
    expect_nothing_of(r.id);
    return outcome ? *outcome : JobOutcome{};
  }
  void expect_nothing_of(const BuilderId& id) const {
    EXPECT_EQ(GetParam().remains(directory_ + "/p", id), "");
    auto seen = platform_->list(soon());
    ASSERT_TRUE(seen);
    for (const auto& builder : *seen) EXPECT_NE(builder.id, id);
  }

  std::string directory_ = "/tmp/mf-XXXXXX";
  Log log_{LogLevel::warning};
  std::unique_ptr<Platform> platform_;
  PlatformImage image_;
};

TEST_P(PlatformContract, PreparedImageHasDigestEnvironmentAndIsRemembered) {
  EXPECT_EQ(image_.digest.substr(0, 7), "sha256:");
  EXPECT_EQ(image_.env.at("FROM_IMAGE"), "yes");
  auto again = platform_->prepare(*SharedImage::reference(), soon());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->digest, image_.digest);
}

TEST_P(PlatformContract, ImageThatDoesNotExistIsNotFoundAndNamed) {
  for (const std::string reference :
       {"localhost/mayfly-no-such-image", "oci:/nonexistent/layout:x", "containers-storage:localhost/mayfly-nothing"}) {
    auto image = platform_->prepare(reference, soon());
    ASSERT_FALSE(image) << reference;
    EXPECT_EQ(image.error().code, ErrorCode::not_found) << image.error().text();
    EXPECT_NE(image.error().where.find(reference), std::string::npos) << image.error().text();
  }
}

TEST_P(PlatformContract, JobRunsAndNothingRemains) {
  const JobOutcome outcome = run(request("one-1"), "echo hello; hostname; exit 7");
  EXPECT_EQ(outcome.log, "hello\none-1\n");
  EXPECT_EQ(outcome.finished.result.cause, JobCause::exited);
  EXPECT_EQ(outcome.finished.result.exit_code, 7);
}

TEST_P(PlatformContract, LaunchAndStopAreIdempotent) {
  ASSERT_TRUE(platform_->launch(request("two-1"), soon()));
  ASSERT_TRUE(platform_->launch(request("two-1"), soon()));
  auto seen = platform_->list(soon());
  ASSERT_TRUE(seen);
  ASSERT_EQ(seen->size(), 1u);
  EXPECT_TRUE((*seen)[0].alive);
  EXPECT_TRUE(platform_->stop("two-1", soon()));
  EXPECT_TRUE(platform_->stop("two-1", soon()));
  EXPECT_TRUE(platform_->stop("never-was", soon()));
  expect_nothing_of("two-1");
}

TEST_P(PlatformContract, ANewDaemonFindsItsBuildersAndTheirAgents) {
  ASSERT_TRUE(platform_->launch(request("three-1"), soon()));
  restart();
  auto seen = platform_->list(soon());
  ASSERT_TRUE(seen);
  ASSERT_EQ(seen->size(), 1u);
  EXPECT_EQ((*seen)[0].id, "three-1");
  EXPECT_TRUE((*seen)[0].alive);
  auto outcome = run_job(platform_->agent_address("three-1"), jobs(), script_job("echo still here"));
  ASSERT_TRUE(outcome) << outcome.error().text();
  EXPECT_EQ(outcome->log, "still here\n");
  EXPECT_TRUE(platform_->stop("three-1", soon()));
  expect_nothing_of("three-1");
}

TEST_P(PlatformContract, WhatOneBuilderWritesNoOtherSees) {
  run(request("four-1"), "echo changed > /image-file; echo x > /workspace/x; echo y > /tmp/y; rm /bin/true");
  const JobOutcome second = run(request("four-2"), "set +e; cat /image-file; ls /workspace; ls /tmp/y; ls /bin/true");
  EXPECT_EQ(second.log.substr(0, 15), "from-the-image\n") << second.log;
  EXPECT_EQ(second.log.find("/workspace/x"), std::string::npos);
  EXPECT_NE(second.log.find("/tmp/y: No such file"), std::string::npos) << second.log;
  EXPECT_NE(second.log.find("/bin/true\n"), std::string::npos) << second.log;
}

TEST_P(PlatformContract, MemoryLimitIsReportedAsItself) {
  if (!GetParam().no_limits.empty()) GTEST_SKIP() << GetParam().no_limits;
  BuilderRequest r = request("five-1");
  r.limits.memory = 64 << 20;
  r.limits.disk = 1 << 30;
  const JobOutcome outcome = run(r, "head -c 300000000 /dev/zero | tail");
  EXPECT_EQ(outcome.finished.result.cause, JobCause::oom_killed) << outcome.finished.result.message << outcome.log;
}

TEST_P(PlatformContract, ForkBombMeetsItsLimit) {
  if (!GetParam().no_limits.empty()) GTEST_SKIP() << GetParam().no_limits;
  const JobOutcome outcome = run(request("six-1"), "for i in $(seq 200); do sleep 100 & done; exit 0");
  EXPECT_NE(outcome.log.find("fork"), std::string::npos) << outcome.log;
}

TEST_P(PlatformContract, FullWorkspaceIsReportedAsItself) {
  const JobOutcome outcome = run(request("seven-1"), "head -c 100000000 /dev/zero > /workspace/big");
  EXPECT_EQ(outcome.finished.result.cause, JobCause::disk_full) << outcome.log;
}

TEST_P(PlatformContract, JobsAreConfined) {
  static constexpr const char* script = R"sh(
set +e
awk '$2 != 0 {print "mapped"}' /proc/self/uid_map
awk '/CapBnd|NoNewPrivs/ {print}' /proc/self/status
[ -s /proc/kcore ] || echo kcore-masked
echo x > /proc/sys/kernel/hostname || echo sys-read-only
mount -t tmpfs x /tmp 2>/dev/null || echo no-mount
ls -l /image-file | awk '{print $3}'
touch /.mayfly/agent 2>/dev/null || echo agent-safe
)sh";
  const JobOutcome outcome = run(request("eight-1"), script);
  EXPECT_NE(outcome.log.find("mapped"), std::string::npos) << outcome.log;
  EXPECT_NE(outcome.log.find("NoNewPrivs:\t1"), std::string::npos) << outcome.log;
  EXPECT_NE(outcome.log.find("CapBnd:\t00000000800405fb"), std::string::npos) << outcome.log;
  for (const char* line : {"kcore-masked", "sys-read-only", "no-mount", "root", "agent-safe"})
    EXPECT_NE(outcome.log.find(line), std::string::npos) << line << " is missing in " << outcome.log;
}

TEST_P(PlatformContract, WithoutNetworkThereIsOnlyLoopback) {
  const JobOutcome outcome =
      run(request("nine-1"), "ip -o link | wc -l; wget -q -T 2 -O - http://10.0.2.2/ || echo unreachable");
  EXPECT_NE(outcome.log.find("1\n"), std::string::npos) << outcome.log;
  EXPECT_NE(outcome.log.find("unreachable"), std::string::npos) << outcome.log;
}

TEST_P(PlatformContract, FailedLaunchLeavesNothing) {
  BuilderRequest r = request("ten-1");
  r.image.handle = R"(["/nonexistent/layer"])";
  EXPECT_FALSE(platform_->launch(r, soon()));
  expect_nothing_of("ten-1");
  r = request("Not A Label");
  EXPECT_FALSE(platform_->launch(r, soon()));
}

}  // namespace mayfly::testing_support
