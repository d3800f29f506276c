#include "model/image_build.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace mayfly {
namespace {

ImageBuild full() {
  ImageBuild b;
  b.id = 7, b.image = "general", b.ref = "refs/pull/7/head", b.release = true, b.trigger = BuildTrigger::merge;
  b.by = "ann", b.commit = "c0ffee", b.authors = {"Ann Lee <ann@team.example>"}, b.message = "m", b.content = "h";
  b.bases = {{"base", "sha256:1"}}, b.state = BuildState::waiting, b.problem = "p", b.builder_digest = "d";
  b.build_job = 3, b.try_job = 4, b.same_as = 5, b.digest = "sha256:2", b.reference = "r", b.fingerprint = "f";
  b.bytes = 6, b.version = "1.0.0", b.findings = {{true, "user", "w"}}, b.approvals_needed = 2;
  b.approvals = {{"bob", "sha256:2", from_micros(8)}};
  b.queued_at = from_micros(1), b.started_at = from_micros(2), b.ended_at = from_micros(3);
  return b;
}

TEST(ImageBuildTest, IsReadAsItWasWritten) {
  auto text = boost::json::serialize(to_json(full()));
  auto read = image_build_from_json(boost::json::parse(text).as_object());
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(*read, full());
  auto damaged = to_json(full());
  damaged["state"] = "finished";
  EXPECT_FALSE(image_build_from_json(damaged));
}

TEST(ImageBuildTest, NamesFitBothWays) {
  for (int s = 0; s <= static_cast<int>(BuildState::superseded); ++s)
    EXPECT_EQ(build_state_from(to_string(static_cast<BuildState>(s))), static_cast<BuildState>(s));
  for (int t = 0; t <= static_cast<int>(BuildTrigger::base); ++t)
    EXPECT_EQ(build_trigger_from(to_string(static_cast<BuildTrigger>(t))), static_cast<BuildTrigger>(t));
}

TEST(ImageBuildTest, NothingFollowsAnEndAndNothingIsReleasedUntried) {
  for (int from = 0; from <= static_cast<int>(BuildState::superseded); ++from)
    for (int to = 0; to <= static_cast<int>(BuildState::superseded); ++to)
      if (is_final(static_cast<BuildState>(from)))
        EXPECT_FALSE(may_follow(static_cast<BuildState>(from), static_cast<BuildState>(to)));
  for (auto from :
       {BuildState::queued, BuildState::building, BuildState::examining, BuildState::trying, BuildState::waiting})
    EXPECT_FALSE(may_follow(from, BuildState::released));
  EXPECT_TRUE(may_follow(BuildState::releasing, BuildState::released));
}

TEST(ImageBuildTest, APersonIsKnownByNameAddressAndAccount) {
  const char* author = "Ann Lee <ann@team.example>";
  for (const char* who : {"ann", "ANN", "Ann Lee", "ann@team.example", "ann lee", author})
    EXPECT_TRUE(is_same_person(who, author)) << who;
  for (const char* who : {"an", "bob", "", "team.example", "ann@other.example"})
    EXPECT_FALSE(is_same_person(who, author)) << who;
  EXPECT_TRUE(is_same_person("bob", "bob")) << "without an address";
}

TEST(ImageBuildTest, OnlyOthersApproveAndOnlyWhatRobotsHavePassed) {
  auto b = full();
  EXPECT_NE(approval_refusal(b, "ann"), "");
  EXPECT_NE(approval_refusal(b, "bob"), "") << "twice";
  EXPECT_EQ(approval_refusal(b, "carol"), "");
  EXPECT_FALSE(is_approved(b));
  b.approvals.push_back({"carol", b.digest, {}});
  EXPECT_TRUE(is_approved(b));
  for (auto state :
       {BuildState::queued, BuildState::building, BuildState::examining, BuildState::failed, BuildState::released}) {
    b.state = state;
    EXPECT_NE(approval_refusal(b, "dave"), "") << to_string(state);
  }
}

}  // namespace
}  // namespace mayfly
