// Versions on their way to registries, in a fake world: what is due, what is retried, what a crash leaves.
#include "control/core_world_test.h"

namespace mayfly {
namespace {

// Registries as values. Every exchange is noted; `broken` says which repositories fail.
class FakePublisher final : public Publisher {
 public:
  Result<PackedImage> pack(const PackOrder& order, Deadline) override {
    ++packs;
    if (pack_problem) return Unexpected(*pack_problem);
    return PackedImage{"sha256:packed-" + order.reference, "sha256:source", 100, held[order.reference]};
  }
  Result<Contents> contents(const std::string&, const std::string& digest) override {
    return held[digest.substr(digest.find('-') + 1)];
  }
  Result<void> publish(const PublishOrder& order, Deadline) override {
    tries.push_back(order.repository + ":" + order.facts.version);
    if (broken.contains(order.repository)) return fail(ErrorCode::unavailable, "it is away", order.repository);
    tags[order.repository + ":" + order.facts.version] = order.digest;
    for (const auto& c : order.channels) tags[order.repository + ":" + c] = order.digest;
    return {};
  }
  Result<void> forget(const std::string&, const std::string&) override { return {}; }

  std::map<std::string, Contents> held;  // by reference
  std::set<std::string> broken;
  std::map<std::string, std::string> tags;
  std::vector<std::string> tries;
  int packs = 0;
  std::optional<Error> pack_problem;
};

class Publishing : public ::testing::Test {
 protected:
  Publishing() {
    ImageSpec tool;
    tool.name = "tool";
    tool.publish = {"a/tool", "b/tool"};
    tool.provides = {"cc"};
    world.config.images["tool"] = tool;
    world.publisher = &registries;
    for (const char* r : {"one", "two", "three"}) registries.held[r].packages = {{"deb", "gcc", "12", "amd64"}};
    world.start();
    world.run(seconds(1));
  }
  std::string release(const std::string& reference, VersionLevel level = VersionLevel::patch) {
    std::string version;
    ReleaseRequest request;
    request.image = "tool";
    request.reference = reference;
    request.level = level;
    world.core().release(request, "ann",
                         [&](Result<ImageVersion> v) { version = v ? v->number.text() : v.error().text(); });
    world.run(seconds(0));
    return version;
  }
  std::vector<Publication> all() { return world.core().image_status("tool")->publications; }
  int count(PublicationState state) {
    int n = 0;
    for (const auto& p : all()) n += p.state == state;
    return n;
  }
  std::string tag(const std::string& name) { return registries.tags[name]; }

  FakePublisher registries;
  World world;
};

TEST_F(Publishing, AVersionGoesToEveryRegistryAndItsChannelsFollow) {
  EXPECT_EQ(release("one"), "1.0.0");
  EXPECT_EQ(count(PublicationState::published), 2);
  for (const char* t : {"a/tool:1.0.0", "b/tool:1.0.0", "a/tool:latest", "a/tool:1", "b/tool:1.0"})
    EXPECT_EQ(tag(t), "sha256:packed-one") << t;
  EXPECT_EQ(release("two"), "1.0.1");
  EXPECT_EQ(tag("a/tool:1.0"), "sha256:packed-two");
  EXPECT_EQ(tag("a/tool:1.0.0"), "sha256:packed-one");
}

TEST_F(Publishing, OneRegistryThatFailsHoldsUpNoOtherAndIsTriedEverMoreSeldom) {
  registries.broken = {"a/tool"};
  release("one");
  EXPECT_EQ(count(PublicationState::published), 1);
  EXPECT_EQ(count(PublicationState::failed), 1);
  registries.tries.clear();
  world.run(std::chrono::hours(1));
  EXPECT_LT(registries.tries.size(), 20U) << "1, 2, 4 … s, then every ten minutes";
  EXPECT_GT(registries.tries.size(), 8U);
  registries.broken.clear();
  world.run(std::chrono::minutes(10));
  EXPECT_EQ(count(PublicationState::published), 2);
  EXPECT_EQ(tag("a/tool:latest"), "sha256:packed-one");
  EXPECT_EQ(all()[0].problem, "");
}

TEST_F(Publishing, AnOldVersionThatComesLateDoesNotTakeTheChannelsBack) {
  registries.broken = {"a/tool"};
  release("one");
  registries.broken.clear();
  release("two");  // before the first one's next try
  EXPECT_EQ(tag("a/tool:latest"), "sha256:packed-two");
  world.run(std::chrono::minutes(10));
  EXPECT_EQ(tag("a/tool:1.0.0"), "sha256:packed-one");
  EXPECT_EQ(tag("a/tool:latest"), "sha256:packed-two");
}

TEST_F(Publishing, GoingBackMovesTheChannelsBack) {
  release("one");
  release("two");
  world.core().withdraw_after("tool", std::nullopt, "ann", [](Result<ImageStatus>) {});
  world.run(seconds(1));
  EXPECT_EQ(tag("a/tool:latest"), "sha256:packed-one");
  EXPECT_EQ(tag("a/tool:1.0.1"), "sha256:packed-two") << "the version itself stays where it is";
}

TEST_F(Publishing, AWithdrawnVersionIsNotTriedAnyMore) {
  release("one");
  registries.broken = {"a/tool"};
  release("two");
  world.core().withdraw_after("tool", std::nullopt, "ann", [](Result<ImageStatus>) {});
  world.run(seconds(0));
  registries.tries.clear();
  registries.broken.clear();
  world.run(std::chrono::hours(1));
  for (const auto& t : registries.tries) EXPECT_NE(t, "a/tool:1.0.1");
}

TEST_F(Publishing, APersonNeedNotWaitForTheNextTry) {
  registries.broken = {"a/tool", "b/tool"};
  release("one");
  world.run(std::chrono::minutes(30));
  registries.broken.clear();
  world.core().publish_now("tool", "ann", [](Result<ImageStatus>) {});
  world.run(seconds(0));
  EXPECT_EQ(count(PublicationState::published), 2);
}

TEST_F(Publishing, WhatTheImageLostRaisesItsVersion) {
  EXPECT_EQ(release("one"), "1.0.0");
  registries.held["two"].packages.clear();
  EXPECT_EQ(release("two"), "1.1.0");
  registries.held["two"].programs = {"cc"};
  EXPECT_EQ(release("three"), "2.0.0");
}

TEST_F(Publishing, AnImageThatCannotBePackedIsNoVersion) {
  registries.pack_problem = Error{ErrorCode::unavailable, "no space", "", ""};
  EXPECT_NE(release("one").find("no space"), std::string::npos);
  EXPECT_TRUE(world.core().image_status("tool")->versions.empty());
  registries.pack_problem.reset();
  EXPECT_EQ(release("one"), "1.0.0");
}

TEST_F(Publishing, ARegistryAddedLaterGetsWhatHasAChannel) {
  release("one");
  release("two");
  world.config.images["tool"].publish.emplace_back("c/tool");
  world.start();
  world.run(seconds(1));
  EXPECT_EQ(tag("c/tool:latest"), "sha256:packed-two");
  EXPECT_EQ(tag("c/tool:1.0.0"), "");
}

TEST_F(Publishing, AtWhateverStepTheDaemonDiesEveryVersionArrives) {
  for (int step = 1;; ++step) {
    World fresh;
    FakePublisher away;
    fresh.config.images = world.config.images;
    fresh.publisher = &away;
    fresh.start();
    fresh.run(seconds(1));
    ReleaseRequest request;
    request.image = "tool";
    request.reference = "one";
    bool died = false;
    auto attempt = [&] {
      fresh.core().release(request, "ann", [](Result<ImageVersion>) {});
      fresh.run(seconds(5));
    };
    fresh.crash_at = step;
    try {
      attempt();
    } catch (const Crash&) {
      died = true;
      fresh.crash_at = 0;
      fresh.start();
      attempt();
    }
    auto status = fresh.core().image_status("tool").value();
    ASSERT_EQ(status.versions.size(), 1U) << step;
    ASSERT_EQ(status.publications.size(), 2U) << step;
    for (const auto& p : status.publications) ASSERT_EQ(p.state, PublicationState::published) << step;
    ASSERT_EQ(away.tags["b/tool:latest"], "sha256:packed-one") << step;
    if (died) continue;
    EXPECT_GT(step, 6);
    return;
  }
}

}  // namespace
}  // namespace mayfly
