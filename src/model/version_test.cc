#include <gtest/gtest.h>

#include <algorithm>

#include <boost/json.hpp>

#include "model/json.h"
#include "model/version.h"

namespace mayfly {
namespace {

SemVer v(std::string_view text) { return SemVer::parse(text).value(); }
bool fits(std::string_view range, std::string_view version) { return VersionRange::parse(range)->fits(v(version)); }

TEST(SemVer, ReadsWhatItWritesAndNothingElse) {
  for (auto text : {"0.0.0", "2.4.1", "1.0.0-rc.1", "10.20.30-a-b.0"}) EXPECT_EQ(v(text).text(), text);
  for (auto text : {"", "1", "1.2", "1.2.3.4", "v1.2.3", "01.2.3", "1.2.3-", "1.2.3-a..b", "1.2.3-01", "1.2.3+build",
                    "1.2.x", "-1.2.3", "1.2.4294967295", " 1.2.3"})
    EXPECT_FALSE(SemVer::parse(text)) << text;
}

TEST(SemVer, IsOrderedAsTheStandardSays) {
  std::vector<std::string> order{
      "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
      "1.0.0",       "1.0.2",         "1.0.10",           "1.10.0",     "2.0.0",        "10.0.0"};
  for (std::size_t i = 0; i < order.size(); ++i)
    for (std::size_t k = 0; k < order.size(); ++k)
      EXPECT_EQ(v(order[i]) <=> v(order[k]), i <=> k) << order[i] << order[k];
}

TEST(SemVer, TheNextOneIsAlwaysHigher) {
  EXPECT_EQ(next_version({}, VersionLevel::patch).text(), "1.0.0");
  EXPECT_EQ(next_version(v("2.4.1"), VersionLevel::patch).text(), "2.4.2");
  EXPECT_EQ(next_version(v("2.4.1"), VersionLevel::minor).text(), "2.5.0");
  EXPECT_EQ(next_version(v("2.4.1"), VersionLevel::major).text(), "3.0.0");
  EXPECT_EQ(next_version(v("2.5.0-rc.1"), VersionLevel::patch).text(), "2.5.0");
}

TEST(VersionRange, SaysWhatAPoolFollows) {
  EXPECT_TRUE(fits("latest", "9.9.9"));
  EXPECT_TRUE(fits("2.4.1", "2.4.1"));
  EXPECT_FALSE(fits("2.4.1", "2.4.2"));
  for (auto range : {"^2", "2", "^2.0", "^2.0.0"}) {
    EXPECT_TRUE(fits(range, "2.0.0")) << range;
    EXPECT_TRUE(fits(range, "2.99.0")) << range;
    EXPECT_FALSE(fits(range, "3.0.0")) << range;
    EXPECT_FALSE(fits(range, "1.9.9")) << range;
  }
  for (auto range : {"~2.4", "2.4", "~2.4.0"}) {
    EXPECT_TRUE(fits(range, "2.4.7")) << range;
    EXPECT_FALSE(fits(range, "2.5.0")) << range;
  }
  EXPECT_FALSE(fits("~2.4.1", "2.4.0"));
  EXPECT_FALSE(fits("^2.4", "2.3.9"));
  EXPECT_TRUE(fits("^2.4", "2.5.0"));
  EXPECT_FALSE(fits("^0.4", "0.5.0"));
  EXPECT_FALSE(fits("^0.0.4", "0.0.5"));
  EXPECT_TRUE(fits("^0", "0.7.0"));
  EXPECT_TRUE(fits("3.0.0-rc.1", "3.0.0-rc.1"));
  for (auto range : {"latest", "^3", "^2"}) EXPECT_FALSE(fits(range, "3.0.0-rc.1")) << range;
  for (auto wrong : {"", "^", "newest", "^2.x", "2.4.1.0", "^2.4.1-rc.1", ">2"})
    EXPECT_FALSE(VersionRange::parse(wrong)) << wrong;
}

TEST(VersionJson, IsReadAsItWasWritten) {
  ImageVersion a{"general", v("2.4.1"),     "sha256:1",    "localhost/general:2",
                 "c0ffee",  "ann",          {"bob"},       VersionState::withdrawn,
                 "bad",     from_micros(5), from_micros(6)};
  EXPECT_EQ(image_version_from_json(to_json(a)).value(), a);
  Rollout r;
  r.from = v("1.0.0"), r.to = v("1.0.1-rc.1"), r.state = RolloutState::watching, r.paused = r.asked = true;
  r.why = "w", r.by = "b", r.old_tally = {1, 2, 3, 4, 5}, r.new_tally = {6, 7, 8, 9, 10};
  r.started_at = r.state_at = r.ended_at = from_micros(7);
  PoolVersions p{"p", "general", v("1.0.0"), r, {v("0.9.0")}};
  EXPECT_EQ(pool_versions_from_json(to_json(p)).value(), p);
  EXPECT_EQ(pool_versions_from_json(to_json(PoolVersions{})).value(), PoolVersions{});
  auto broken = to_json(a);
  broken["version"] = "1";
  EXPECT_FALSE(image_version_from_json(broken));
}

}  // namespace
}  // namespace mayfly
