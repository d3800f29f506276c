#include <gtest/gtest.h>

#include "control/core_world_test.h"

namespace mayfly {
namespace {

SemVer v(std::string_view text) { return SemVer::parse(text).value(); }

class Versions : public ::testing::Test {
 protected:
  Versions() {
    w.config.images["general"] = {"general", "/recipe", {}};
    w.start();
    w.run();
  }
  Result<ImageVersion> release(const std::string& reference, std::optional<SemVer> number = {},
                               VersionLevel level = VersionLevel::patch, const std::string& image = "general") {
    Result<ImageVersion> out = fail(ErrorCode::internal, "no answer");
    w.core().release({image, reference, number, level, "c0ffee", {"bob"}}, "ann", [&](auto r) { out = r; });
    w.run();
    return out;
  }
  Result<ImageStatus> back(std::optional<SemVer> to = {}) {
    Result<ImageStatus> out = fail(ErrorCode::internal, "no answer");
    w.core().withdraw_after("general", to, "eve", [&](auto r) { out = r; });
    w.run();
    return out;
  }
  ImageStatus image() { return w.core().image_status("general").value(); }
  World w;
};

TEST_F(Versions, AreNumberedOneAfterTheOther) {
  EXPECT_EQ(release("a")->number.text(), "1.0.0");
  EXPECT_EQ(release("b")->number.text(), "1.0.1");
  EXPECT_EQ(release("c", {}, VersionLevel::minor)->number.text(), "1.1.0");
  EXPECT_EQ(release("d", v("3.0.0-rc.1"))->number.text(), "3.0.0-rc.1");
  EXPECT_EQ(release("e", v("2.0.0"))->number.text(), "2.0.0");
  EXPECT_EQ(release("f")->number.text(), "2.0.1") << "a candidate of 3.0.0 does not count";
  auto channels = image().channels;
  EXPECT_EQ(channels["latest"], "2.0.1");
  EXPECT_EQ(channels["1"], "1.1.0");
  EXPECT_EQ(channels["1.0"], "1.0.1");
  EXPECT_FALSE(channels.contains("3"));
  EXPECT_EQ(image().versions.front().number.text(), "3.0.0-rc.1") << "the highest first";
  EXPECT_EQ(image().versions.size(), 6u);
}

TEST_F(Versions, HaveOneDigestForEver) {
  auto first = release("a", v("1.0.0"));
  ASSERT_TRUE(first);
  EXPECT_EQ(first->digest, w.platform.prepare("a", after(seconds(1)))->digest);
  EXPECT_EQ(*release("a", v("1.0.0")), *first) << "said twice";
  EXPECT_EQ(*release("a"), *first) << "the same again is no new version";
  auto other = release("b", v("1.0.0"));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::conflict);
  EXPECT_EQ(image().versions.size(), 1u);
}

TEST_F(Versions, AreNothingWithoutAnImageThatIsThere) {
  w.platform.remove_image("gone");
  auto missing = release("gone");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
  auto unknown = release("a", {}, VersionLevel::patch, "genral");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().text().find("'general'"), std::string::npos);
  EXPECT_FALSE(release(""));
  EXPECT_TRUE(image().versions.empty());
}

TEST_F(Versions, OutliveTheDaemonWithTheirRecord) {
  auto released = release("a");
  w.start();
  ASSERT_EQ(image().versions.size(), 1u);
  EXPECT_EQ(image().versions[0], *released);
  auto story = *w.store.ledger(0, 100, "image/general");
  ASSERT_EQ(story.size(), 1u);
  EXPECT_EQ(story[0].kind, "image.released");
  EXPECT_NE(story[0].detail.find(released->digest), std::string::npos);
}

TEST_F(Versions, GoBackByWithdrawingWhatIsAbove) {
  EXPECT_EQ(back().error().code, ErrorCode::conflict) << "there is nothing to go back to";
  for (auto reference : {"a", "b", "c"}) ASSERT_TRUE(release(reference));
  EXPECT_EQ(back(v("9.0.0")).error().code, ErrorCode::not_found);
  EXPECT_EQ(back()->channels["latest"], "1.0.1");
  EXPECT_EQ(back(v("1.0.0"))->channels["latest"], "1.0.0");
  w.start();
  EXPECT_EQ(image().channels["latest"], "1.0.0");
  EXPECT_EQ(image().versions[0].state, VersionState::withdrawn);
  EXPECT_EQ(image().versions[0].withdrawn_why, "eve went back to 1.0.1");
  EXPECT_EQ(release("d")->number.text(), "1.0.3") << "a number is never given twice";
  EXPECT_EQ(image().channels["latest"], "1.0.3");
}

}  // namespace
}  // namespace mayfly
