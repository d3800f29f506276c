#pragma once
// What every platform must do about the life of builders, seen through ports/platform.h alone: no job is run, so it
// holds for platforms without containers too. What a job may see and do is in platform_contract.h.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ports/platform.h"

namespace mayfly::contract {

struct LivingPlatform {
  std::string name;
  std::string skip;  // why it cannot be tried on this host; empty: it can
  // A platform on this directory; called again for a daemon that restarted.
  std::function<Result<std::unique_ptr<Platform>>(const std::string& directory)> make;
  std::function<Result<std::string>()> image;  // a reference that exists
  std::string missing = "localhost/mayfly-no-such-image";
  friend std::ostream& operator<<(std::ostream& out, const LivingPlatform& p) { return out << p.name; }
};

class PlatformLife : public testing::TestWithParam<LivingPlatform> {
 protected:
  void SetUp() override {
    if (!GetParam().skip.empty()) GTEST_SKIP() << GetParam().skip;
    ASSERT_NE(mkdtemp(directory_.data()), nullptr);
    restart();
    ASSERT_TRUE(platform_);
    auto reference = GetParam().image();
    ASSERT_TRUE(reference) << reference.error().text();
    auto image = platform_->prepare(*reference, soon());
    ASSERT_TRUE(image) << image.error().text();
    image_ = *image;
  }
  void TearDown() override {
    if (!platform_) return;
    for (const auto& id : listed()) EXPECT_TRUE(platform_->stop(id, soon()));
    platform_.reset();
    std::error_code failed;
    std::filesystem::remove_all(directory_, failed);
    EXPECT_FALSE(failed) << failed.message();
  }
  void restart() {
    platform_.reset();
    auto made = GetParam().make(directory_);
    ASSERT_TRUE(made) << made.error().text();
    platform_ = std::move(*made);
  }
  static Deadline soon() { return after(seconds(60)); }
  BuilderRequest request(const BuilderId& id) const {
    BuilderRequest r;
    r.id = id;
    r.pool = "test";
    r.image = image_;
    r.limits.memory = 128 << 20;
    r.limits.disk = 32 << 20;
    return r;
  }
  void launch(const BuilderId& id) {
    auto done = platform_->launch(request(id), soon());
    ASSERT_TRUE(done) << done.error().text();
  }
  void stop(const BuilderId& id) {
    auto done = platform_->stop(id, soon());
    ASSERT_TRUE(done) << done.error().text();
  }
  std::vector<BuilderId> listed(bool alive_only = false) {
    auto seen = platform_->list(soon());
    EXPECT_TRUE(seen) << seen.error().text();
    std::vector<BuilderId> ids;
    for (const auto& b : seen.value_or(std::vector<SeenBuilder>()))
      if (b.alive || !alive_only) ids.push_back(b.id);
    std::sort(ids.begin(), ids.end());
    return ids;
  }

  std::string directory_ = "/tmp/mf-life-XXXXXX";
  std::unique_ptr<Platform> platform_;
  PlatformImage image_;
};

using Ids = std::vector<BuilderId>;

TEST_P(PlatformLife, StartsEmptyAndAcceptsBuilders) {
  EXPECT_TRUE(platform_->health().accepts_builders) << platform_->health().problem;
  EXPECT_EQ(listed(), Ids{});
  EXPECT_GE(platform_->parallel_launches(), 1);
}

TEST_P(PlatformLife, AnImageHasOneDigest) {
  EXPECT_EQ(image_.digest.size(), 71U) << image_.digest;
  EXPECT_TRUE(image_.digest.starts_with("sha256:"));
  auto again = platform_->prepare(image_.reference, soon());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->digest, image_.digest);
}

TEST_P(PlatformLife, AMissingImageIsNotFoundForGoodAndNamed) {
  auto image = platform_->prepare(GetParam().missing, soon());
  ASSERT_FALSE(image);
  EXPECT_EQ(image.error().code, ErrorCode::not_found) << image.error().text();
  EXPECT_NE(image.error().text().find(GetParam().missing), std::string::npos) << image.error().text();
}

TEST_P(PlatformLife, ABuilderIsThereFromLaunchToStop) {
  launch("life-1");
  EXPECT_EQ(listed(true), Ids{"life-1"});
  stop("life-1");
  EXPECT_EQ(listed(), Ids{});
}

TEST_P(PlatformLife, LaunchAndStopMayBeRepeated) {
  launch("life-1");
  launch("life-1");
  EXPECT_EQ(listed(), Ids{"life-1"});
  stop("life-1");
  stop("life-1");
  stop("never-was-1");
  EXPECT_EQ(listed(), Ids{});
}

TEST_P(PlatformLife, BuildersDoNotTouchEachOther) {
  std::vector<std::thread> threads;
  for (int i = 1; i <= 4; ++i) threads.emplace_back([this, i] { launch(fmt::format("life-{}", i)); });
  for (auto& t : threads) t.join();
  EXPECT_EQ(listed(true), (Ids{"life-1", "life-2", "life-3", "life-4"}));
  stop("life-2");
  EXPECT_EQ(listed(true), (Ids{"life-1", "life-3", "life-4"}));
}

TEST_P(PlatformLife, ANewDaemonFindsWhatTheLastOneLeft) {
  launch("life-1");
  auto address = platform_->agent_address("life-1");
  restart();
  EXPECT_EQ(platform_->agent_address("life-1"), address) << "known from the id alone";
  EXPECT_EQ(listed(true), Ids{"life-1"});
  launch("life-1");  // still idempotent
  stop("life-1");
  EXPECT_EQ(listed(), Ids{});
}

TEST_P(PlatformLife, AddressesDiffer) {
  EXPECT_NE(platform_->agent_address("life-1"), platform_->agent_address("life-2"));
}

TEST_P(PlatformLife, AnIdThatIsNoHostnameIsRefused) {
  for (const char* id : {"", "Upper-1", "a/b", "../x", "two words"}) {
    EXPECT_FALSE(platform_->launch(request(id), soon())) << "'" << id << "'";
  }
  EXPECT_EQ(listed(), Ids{});
}

TEST_P(PlatformLife, PastTheDeadlineNothingIsLeftThatStopWouldNotRemove) {
  (void)platform_->launch(request("life-1"), after(seconds(-1)));  // an error, or a builder: both are right
  stop("life-1");
  EXPECT_EQ(listed(), Ids{});
}

}  // namespace mayfly::contract
