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
  Result<void> forget(const std::string&, const std::string& digest) override {
    forgotten.insert(digest);
    return {};
  }

  std::map<std::string, Contents> held;  // by reference
  std::set<std::string> broken;
  std::map<std::string, std::string> tags;
  std::vector<std::string> tries;
  int packs = 0;
  std::set<std::string> forgotten;
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
    for (const char* r : {"one", "two", "three", "four"}) registries.held[r].packages = {{"deb", "gcc", "12", "amd64"}};
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
  // What is due by then, and what a daemon looks at only now and then.
  void later(Duration by) {
    world.run(by);
    world.clock.advance(by);
    world.run(seconds(0));
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

TEST_F(Publishing, OnlyWhatNothingNeedsIsSweptAndOnceMoreAfterAStart) {
  world.config.release.keep = 1;
  world.config.pools["p"].image = "tool@1.0.1";  // pinned
  world.start();
  for (const char* r : {"one", "two", "three", "four"}) release(r);
  world.run(std::chrono::minutes(11));
  EXPECT_EQ(registries.forgotten, (std::set<std::string>{"sha256:packed-one", "sha256:packed-three"}));
  EXPECT_NE(world.core().image_status("tool")->versions.back().swept_at, Time{});
  registries.forgotten.clear();
  world.start();
  world.run(std::chrono::minutes(11));
  EXPECT_EQ(registries.forgotten.size(), 2U) << "the daemon may have been killed before the files were gone";
}

TEST_F(Publishing, WhatAPoolStandsOnMovesToOrCouldGoBackToIsNotSwept) {
  world.config.release.keep = 1;
  world.pool().image = "tool@^1";
  world.pool().rollout.canary = 0.5;  // without jobs it goes no further
  world.start();
  for (const char* r : {"one", "two", "three", "four"}) release(r);
  const std::set<std::string> between = {"sha256:packed-two", "sha256:packed-three"};
  later(std::chrono::minutes(11));
  EXPECT_EQ(registries.forgotten, between) << "it stands on the first, on its way to the last";
  world.core().change_rollout("p", RolloutOrder::promote, "ann", [](auto) {});
  later(std::chrono::minutes(11));
  EXPECT_EQ(registries.forgotten, between) << "`mayfly rollout rollback` goes back to the first";
}

TEST_F(Publishing, AVersionThatRunsIsNotSwept) {
  world.config.release.keep = 1;
  world.pool().image = "tool@1.0.0";
  world.fake.outcome = [](const agent::Assign&) {
    FakeOutcome o;
    o.takes = std::chrono::minutes(20);
    return o;
  };
  world.start();
  release("one");
  auto job = world.submit();
  world.run(seconds(1));
  ASSERT_EQ(world.job(job).state, JobState::running);
  world.pool().image = "elsewhere/image";  // no pool knows the version any more
  world.start();
  for (const char* r : {"two", "three"}) release(r);
  later(std::chrono::minutes(11));
  EXPECT_EQ(registries.forgotten, (std::set<std::string>{"sha256:packed-two"}));
  later(std::chrono::minutes(20));
  EXPECT_TRUE(registries.forgotten.contains("sha256:packed-one")) << "its job is over";
}

TEST_F(Publishing, AVersionThatIsNotEverywhereYetIsKeptForThat) {
  world.config.release.keep = 1;
  registries.broken = {"b/tool"};
  world.start();
  for (const char* r : {"one", "two"}) release(r);
  later(std::chrono::minutes(11));
  EXPECT_TRUE(registries.forgotten.empty());
  registries.broken.clear();
  later(std::chrono::minutes(31));
  EXPECT_EQ(registries.forgotten, (std::set<std::string>{"sha256:packed-one"}));
}

TEST_F(Publishing, WhatIsPackedAnewForARegistryIsSweptAgain) {
  world.config.release.keep = 1;
  world.start();
  for (const char* r : {"one", "two"}) release(r);
  later(std::chrono::minutes(11));
  ASSERT_EQ(std::exchange(registries.forgotten, {}), (std::set<std::string>{"sha256:packed-one"}));
  world.core().withdraw_after("tool", std::nullopt, "ann", [](Result<ImageStatus>) {});  // the channels go back to it
  world.run(seconds(1));
  ASSERT_EQ(tag("a/tool:latest"), "sha256:packed-one");
  release("three");
  later(std::chrono::minutes(11));
  EXPECT_TRUE(registries.forgotten.contains("sha256:packed-one"));
}

// A platform that pulls from registries: here a/ alone of a/tool and b/tool.
class Pulling : public Publishing {
 protected:
  Pulling() {
    world.config.platforms["local"].registries = {"a"};
    world.pool().image = "tool@^1";
    world.start();
    world.run(seconds(1));
  }
  std::string runs() {
    auto job = world.submit();
    world.run(seconds(5));
    return world.job(job).state == JobState::succeeded ? world.job(job).image_version : world.job(job).waiting.text;
  }
};

TEST_F(Pulling, NoPoolMovesBeforeTheRegistryThatItsPlatformNeedsHasTheVersion) {
  release("one");
  ASSERT_EQ(runs(), "tool@1.0.0");
  registries.broken = {"a/tool"};
  release("two");
  world.run(std::chrono::minutes(1));
  EXPECT_EQ(runs(), "tool@1.0.0");
  EXPECT_FALSE(world.core().rollouts().at(0).rollout);
  auto why = world.core().explain_pool("p")->status.rollout;
  for (const char* part : {"1.0.1", "a/tool", "it is away"}) EXPECT_NE(why.find(part), std::string::npos) << why;
  EXPECT_EQ(world.core().image_status("tool")->held.at("p"), why);
  registries.broken.clear();
  world.run(std::chrono::minutes(10));
  EXPECT_EQ(runs(), "tool@1.0.1");
  EXPECT_EQ(world.core().rollouts().at(0).rollout->to.text(), "1.0.1");
  EXPECT_TRUE(world.core().image_status("tool")->held.empty());
}

TEST_F(Pulling, ARegistryThatThePlatformDoesNotNeedHoldsNothingUp) {
  registries.broken = {"b/tool"};
  release("one");
  EXPECT_EQ(runs(), "tool@1.0.0");
}

TEST_F(Pulling, AJobThatWaitsForTheFirstVersionSaysWhichRegistryItWaitsFor) {
  registries.broken = {"a/tool"};
  release("one");
  auto why = runs();
  EXPECT_NE(why.find("tool 1.0.0 is not in a/tool yet"), std::string::npos) << why;
  auto job = world.store.jobs({}).value().front().id;
  registries.broken.clear();
  world.run(std::chrono::minutes(10));
  EXPECT_EQ(world.job(job).state, JobState::succeeded);
  EXPECT_EQ(world.job(job).image_digest, "sha256:packed-one") << "what was pulled, not what was released from";
}

TEST_F(Pulling, WhatIsHeldIsStillHeldByTheNextDaemon) {
  release("one");
  ASSERT_EQ(runs(), "tool@1.0.0");
  registries.broken = {"a/tool"};
  release("two");
  world.start();
  EXPECT_EQ(runs(), "tool@1.0.0");
  EXPECT_FALSE(world.core().image_status("tool")->held.empty());
}

TEST_F(Pulling, APlatformThatPullsFromNoRegistryOfTheImageNeedsNone) {
  world.config.platforms["local"].registries = {"elsewhere"};
  world.start();
  registries.broken = {"a/tool", "b/tool"};
  release("one");
  EXPECT_EQ(runs(), "tool@1.0.0");
}

TEST_F(Publishing, AnImageTellsWhichPoolsRunAVersionAndWhichJobsFailedOnIt) {
  world.pool().image = "tool";
  world.fake.outcome = [](const agent::Assign&) { return FakeOutcome{{JobCause::exited, 1, 0, {}}, {}, {}}; };
  world.start();
  release("one");
  auto job = world.submit();
  world.run(seconds(5));
  auto uses = world.core().image_status("tool")->uses;
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_EQ(uses[0].number.text(), "1.0.0");
  EXPECT_EQ(uses[0].pools, std::vector<PoolName>{"p"});
  EXPECT_EQ(uses[0].failed_jobs, std::vector<JobId>{job});
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
