#include "control/builds_world_test.h"

namespace mayfly {
namespace {

class BaseTest : public BuildsTest {
 protected:
  BaseTest() {
    tool().watch_base = std::chrono::minutes(10);
    works.refs_now["main"].bases = {base, "localhost/own:1", "r.example/fixed@sha256:1"};
    works.registry[base] = "sha256:old";
  }
  void change(const std::string& digest) {
    works.registry[base] = digest;
    works.salt = works.files = "-on-" + digest;
  }
  std::vector<ImageBuild> all() { return builds->builds("tool", 20).value(); }
  const std::string base = "r.example/team/base:1";
};

TEST_F(BaseTest, AChangedBaseIsBuiltOnAndReleasedOnce) {
  start();
  request();
  run();
  EXPECT_EQ(all()[0].registry_bases, (std::map<std::string, std::string>{{base, "sha256:old"}}));
  EXPECT_EQ(works.pinned, all()[0].registry_bases);
  run(std::chrono::hours(1));
  EXPECT_EQ(all().size(), 1u);
  EXPECT_GE(works.asked, 6);
  change("sha256:new");
  run(std::chrono::hours(2));
  ASSERT_EQ(all().size(), 2u);
  auto b = all()[0];
  EXPECT_EQ(b.state, BuildState::released) << b.problem;
  EXPECT_EQ(b.trigger, BuildTrigger::base);
  EXPECT_EQ(b.reason, "base image " + base + " changed: sha256:old -> sha256:new");
  EXPECT_EQ(b.registry_bases.at(base), "sha256:new");
  auto version = world.core().image_status("tool")->versions[0];
  EXPECT_EQ(version.number.text(), "1.0.1");
  EXPECT_EQ(version.bases, b.registry_bases);
  EXPECT_EQ(builds->base_note("tool"), "");
}

TEST_F(BaseTest, ARestartNeitherForgetsTheChangeNorBuildsOnItTwice) {
  start();
  request();
  run();
  change("sha256:new");  // while no daemon is there
  start();
  run();
  EXPECT_EQ(all().size(), 2u);
  EXPECT_EQ(versions(), 2u);
  start();
  run(std::chrono::hours(1));
  EXPECT_EQ(all().size(), 2u);
}

TEST_F(BaseTest, AKilledDaemonsBuildGoesOnOnTheSameBase) {
  start();
  request();
  run();
  change("sha256:new");
  builds->tick();  // asked, not answered yet
  start();         // and killed
  for (int i = 0; i < 3; ++i) {
    builds->tick();
    auto messages = std::exchange(mailbox, {});
    for (auto& m : messages) m();
  }
  ASSERT_EQ(all().size(), 2u);
  start();  // killed with the build under way
  run(std::chrono::hours(1));
  EXPECT_EQ(all().size(), 2u);
  EXPECT_EQ(all()[0].state, BuildState::released) << all()[0].problem;
  EXPECT_EQ(works.pinned.at(base), "sha256:new");
}

TEST_F(BaseTest, ABaseThatBreaksItIsTriedOnceAndTheStatusSaysSo) {
  start();
  request();
  run();
  change("sha256:bad");
  world.fake.outcome = [](const agent::Assign&) { return FakeOutcome{{JobCause::exited, 3, 0, {}}, {}, {}}; };
  run(std::chrono::hours(2));
  ASSERT_EQ(all().size(), 2u);
  EXPECT_EQ(all()[0].state, BuildState::failed);
  EXPECT_NE(builds->base_note("tool").find("build 2 on it is failed"), std::string::npos) << builds->base_note("tool");
  world.fake.outcome = [](const agent::Assign&) { return FakeOutcome(); };
  change("sha256:good");
  run(std::chrono::hours(1));
  EXPECT_EQ(all().size(), 3u);
  EXPECT_EQ(all()[0].state, BuildState::released) << all()[0].problem;
  EXPECT_EQ(builds->base_note("tool"), "");
}

TEST_F(BaseTest, ARegistryThatIsAwayIsSaidAndNeverAReason) {
  start();
  request();
  run();
  works.registry.clear();
  run(std::chrono::hours(2));
  EXPECT_EQ(all().size(), 1u);
  EXPECT_NE(builds->base_note("tool").find("connection refused"), std::string::npos);
  auto entries = [&] { return world.store.ledger(1, 1000, "image/tool").value(); };
  auto count = [&](const std::string& kind) {
    auto e = entries();
    return std::count_if(e.begin(), e.end(), [&](const auto& x) { return x.kind == kind; });
  };
  EXPECT_EQ(count("image.base-unknown"), 1);
  change("sha256:new");
  run(std::chrono::hours(1));
  EXPECT_EQ(all().size(), 2u);
  EXPECT_EQ(builds->base_note("tool"), "");
  EXPECT_EQ(count("image.base-known"), 1);
  // Nor does a build fail for it: what is not known is not recorded.
  works.registry.clear();
  commit("main", "three");
  works.refs_now["main"].bases = {base};
  auto id = request();
  run();
  EXPECT_EQ(state(id), BuildState::released) << build(id).problem;
  EXPECT_TRUE(build(id).registry_bases.empty());
}

TEST_F(BaseTest, WithoutAnIntervalNobodyIsAskedBetweenBuilds) {
  tool().watch_base = Duration(0);
  start();
  request();
  run();
  change("sha256:new");
  auto asked = works.asked;
  run(std::chrono::hours(5));
  EXPECT_EQ(works.asked, asked);
  EXPECT_EQ(all().size(), 1u);
  ImageSpec image;
  EXPECT_EQ(base_interval(image), Duration(0));
  image.watch = seconds(10);
  EXPECT_EQ(base_interval(image), std::chrono::hours(1));
}

}  // namespace
}  // namespace mayfly
