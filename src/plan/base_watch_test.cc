#include "plan/base_watch.h"

#include <gtest/gtest.h>

namespace mayfly::plan {
namespace {

using Digests = std::map<std::string, std::string>;
const std::string base = "registry.example/team/base:1";

ImageBuild made(BuildId id, BuildState state, Digests bases, bool release = true) {
  ImageBuild b;
  b.id = id, b.image = "tool", b.state = state, b.release = release;
  b.registry_bases = std::move(bases);
  return b;
}

TEST(BaseWatchTest, OnlyWhatARegistryMayChangeIsWatched) {
  EXPECT_EQ(registry_bases({"debian:12", base, "localhost/mayfly/base", "localhost:5000/base", "a/b",
                            "r.example/b@sha256:12", "docker://r.example/b", "oci:/tmp/x", "$BASE"}),
            (std::vector<std::string>{"debian:12", base, "localhost:5000/base", "a/b"}));
  EXPECT_TRUE(names_registry(base));
  EXPECT_TRUE(names_registry("localhost:5000/base"));
  EXPECT_FALSE(names_registry("debian:12"));
  EXPECT_FALSE(names_registry("team/base:1.2"));
  EXPECT_EQ(registry_of("127.0.0.1:5000/a/b:1"), "127.0.0.1:5000");
  EXPECT_EQ(registry_of("debian:12"), "docker.io");
}

TEST(BaseWatchTest, AnotherDigestIsBuiltOnceAndTheReasonSaysIt) {
  auto first = made(1, BuildState::released, {{base, "sha256:old"}});
  EXPECT_FALSE(judge_bases({first}, {{base, "sha256:old"}}).build);
  auto j = judge_bases({first}, {{base, "sha256:new"}});
  EXPECT_TRUE(j.build);
  EXPECT_EQ(j.why, "base image " + base + " changed: sha256:old -> sha256:new");
  for (auto done : {BuildState::released, BuildState::unchanged}) {
    j = judge_bases({made(2, done, {{base, "sha256:new"}}), first}, {{base, "sha256:new"}});
    EXPECT_FALSE(j.build);
    EXPECT_EQ(j.why, "");
  }
}

TEST(BaseWatchTest, WhatDidNotComeToAReleaseIsNotBegunAgainAndSaidSo) {
  auto first = made(1, BuildState::released, {{base, "sha256:old"}});
  for (auto done : {BuildState::failed, BuildState::cancelled, BuildState::superseded}) {
    auto second = made(2, done, {{base, "sha256:new"}});
    auto j = judge_bases({second, first}, {{base, "sha256:new"}});
    EXPECT_FALSE(j.build);
    EXPECT_NE(j.why.find("build 2 on it is"), std::string::npos) << j.why;
    EXPECT_TRUE(judge_bases({second, first}, {{base, "sha256:newer"}}).build);
    j = judge_bases({second, first}, {{base, "sha256:old"}});
    EXPECT_FALSE(j.build) << "what is released is made from it";
    EXPECT_EQ(j.why, "");
  }
}

TEST(BaseWatchTest, NothingIsBegunWhileABuildForAReleaseIsUnderWay) {
  auto first = made(1, BuildState::released, {{base, "sha256:old"}});
  for (auto under_way : {BuildState::queued, BuildState::building, BuildState::trying, BuildState::waiting}) {
    auto j = judge_bases({made(2, under_way, {}), first}, {{base, "sha256:new"}});
    EXPECT_FALSE(j.build);
    EXPECT_NE(j.why.find("build 2 is"), std::string::npos) << j.why;
  }
  EXPECT_TRUE(judge_bases({made(2, BuildState::building, {}, false), first}, {{base, "sha256:new"}}).build)
      << "a proposed change is nothing to it";
}

TEST(BaseWatchTest, AnUnknownDigestAndASilentRegistryAreNoReason) {
  EXPECT_FALSE(judge_bases({}, {{base, "sha256:new"}}).build);
  EXPECT_FALSE(judge_bases({made(1, BuildState::released, {})}, {{base, "sha256:new"}}).build);
  auto first = made(1, BuildState::released, {{base, "sha256:old"}, {"debian:12", "sha256:d"}});
  EXPECT_FALSE(judge_bases({first}, {}).build);
  EXPECT_TRUE(judge_bases({first}, {{"debian:12", "sha256:e"}}).build) << "the other registry did answer";
  // Neither a proposed change's bases nor those of a build that asked in vain hide the released one's.
  EXPECT_EQ(tried_bases({made(3, BuildState::passed, {{"x", "y"}}, false), made(2, BuildState::failed, {}), first}),
            first.registry_bases);
}

TEST(BaseWatchTest, AFirstBuildThatFailedMaySucceedOnAnotherBase) {
  auto first = made(1, BuildState::failed, {{base, "sha256:old"}});
  EXPECT_TRUE(judge_bases({first}, {{base, "sha256:new"}}).build);
  EXPECT_FALSE(judge_bases({first}, {{base, "sha256:old"}}).build);
}

}  // namespace
}  // namespace mayfly::plan
