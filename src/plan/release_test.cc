#include "plan/release.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace mayfly::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Contents with(std::vector<Package> packages, std::vector<std::string> programs = {}) {
  return {"debian", "12", std::move(packages), std::move(programs), {}};
}
Package deb(std::string name, std::string version) { return {"deb", std::move(name), std::move(version), "amd64"}; }

TEST(Release, PackageVersionsAreOrderedAsDebianDoes) {
  const char* ascending[] = {"0.9",  "1.0~rc1", "1.0~rc2-1", "1.0-1",  "1.0-1+b1", "1.0-2",
                             "1.0a", "1.2",     "1.10",      "1.10.1", "1:0.1",    "2:0.1"};
  for (std::size_t i = 0; i < std::size(ascending); ++i)
    for (std::size_t j = 0; j < std::size(ascending); ++j) {
      int c = compare_package_versions(ascending[i], ascending[j]);
      EXPECT_EQ(c < 0, i < j) << ascending[i] << " " << ascending[j];
      EXPECT_EQ(c == 0, i == j) << ascending[i] << " " << ascending[j];
    }
  EXPECT_EQ(compare_package_versions("1.02", "1.2"), 0);
  EXPECT_LT(compare_package_versions("1.2_rc1-r0", "1.2-r0"), 0);
  EXPECT_LT(compare_package_versions("1.2-r9", "1.2-r10"), 0);
}

TEST(Release, WhatWasDeclaredIsTheLeast) {
  auto same = with({deb("gcc", "12")});
  for (auto level : {VersionLevel::patch, VersionLevel::minor, VersionLevel::major})
    EXPECT_EQ(release_level(level, same, same, {}).level, level);
}

TEST(Release, AnUpgradeOrAnAdditionIsAPatch) {
  auto choice =
      release_level(VersionLevel::patch, with({deb("gcc", "12")}), with({deb("gcc", "13"), deb("make", "4")}), {});
  EXPECT_EQ(choice.level, VersionLevel::patch);
  EXPECT_TRUE(choice.why.empty());
}

TEST(Release, ARemovedOrDowngradedPackageIsMinorAndSaysSo) {
  auto before = with({deb("gcc", "12.2"), deb("make", "4.3")});
  auto removed = release_level(VersionLevel::patch, before, with({deb("gcc", "12.2")}), {});
  EXPECT_EQ(removed.level, VersionLevel::minor);
  EXPECT_THAT(removed.why, ElementsAre("package make was removed"));
  auto back = release_level(VersionLevel::patch, before, with({deb("gcc", "12.10~rc1-1"), deb("make", "4.2")}), {});
  EXPECT_EQ(back.level, VersionLevel::minor);
  EXPECT_THAT(back.why, ElementsAre("package make went back from 4.3 to 4.2"));
  EXPECT_EQ(release_level(VersionLevel::major, before, with({}), {}).level, VersionLevel::major);
}

TEST(Release, APromisedToolThatIsGoneIsMajor) {
  auto before = with({deb("gcc", "12")}, {"cc", "make"});
  auto gone =
      release_level(VersionLevel::patch, before, with({deb("gcc", "12")}, {"cc"}), {"make", "cc", "never-there"});
  EXPECT_EQ(gone.level, VersionLevel::major);
  EXPECT_THAT(gone.why, ElementsAre(HasSubstr("make is gone")));
  EXPECT_EQ(release_level(VersionLevel::patch, before, with({}, {"cc", "make"}), {"gcc"}).level, VersionLevel::major)
      << "a package may be promised as well";
}

TEST(Release, OnlyTheHighestOfAPackageCounts) {
  auto before = with({deb("linux", "5"), deb("linux", "6")});
  EXPECT_EQ(release_level(VersionLevel::patch, before, with({deb("linux", "6")}), {}).level, VersionLevel::patch);
  EXPECT_EQ(release_level(VersionLevel::patch, before, with({deb("linux", "5")}), {}).level, VersionLevel::minor);
}

TEST(Release, SweptIsOnlyWhatNothingNeeds) {
  std::vector<SemVer> all{{1, 0, 0}, {1, 1, 0}, {2, 0, 0}, {2, 0, 1}, {2, 1, 0}, {2, 1, 1}};
  std::map<std::string, std::string> channels{{"1", "1.1.0"}, {"1.0", "1.0.0"}, {"2", "2.1.1"}, {"latest", "2.1.1"}};
  EXPECT_THAT(sweepable(all, {{2, 0, 0}}, channels, 2), ElementsAre(SemVer{2, 0, 1}));
  EXPECT_THAT(sweepable(all, {}, {}, 6), ElementsAre());
  EXPECT_THAT(sweepable(all, {}, {}, 100), ElementsAre());
}

TEST(RpmVersionsTest, AreOrderedAsRpmDoes) {
  const std::vector<std::string> rising[] = {
      {"1.0~rc1-1", "1.0-1", "1.0^git1-1", "1.0.1-1", "1.1-1", "1.10-1", "2-1", "1:0.1-1"},
      {"5.1.8-6.el9_1", "5.1.8-9.el9", "5.1.8-10.el9", "5.2.15-3.fc38"},
      {"1.0~~", "1.0~", "1.0", "1.0^", "1.0^20240101", "1.0.a", "1.0.1"},
      {"2.0a", "2.0.1"},
  };
  for (const auto& versions : rising)
    for (std::size_t a = 0; a < versions.size(); ++a)
      for (std::size_t b = 0; b < versions.size(); ++b) {
        int d = compare_rpm_versions(versions[a], versions[b]);
        EXPECT_EQ(d < 0, a < b) << versions[a] << " " << versions[b];
        EXPECT_EQ(d == 0, a == b) << versions[a] << " " << versions[b];
      }
  for (auto [a, b] : {std::pair{"1.0", "1_0"}, {"1.0", "0:1.0"}, {"1.01", "1.1"}, {"1.0-1", "1.0.-1"}})
    EXPECT_EQ(compare_rpm_versions(a, b), 0) << a << " " << b;
}

TEST(RpmVersionsTest, DecideWhetherAPackageWentBack) {
  Contents before, after;
  before.packages = {{"rpm", "tool", "1.0^git1-1", "x86_64"}};
  after.packages = {{"rpm", "tool", "1.0.1-1", "x86_64"}};
  EXPECT_EQ(release_level(VersionLevel::patch, before, after, {}).level, VersionLevel::patch);
  EXPECT_EQ(release_level(VersionLevel::patch, after, before, {}).level, VersionLevel::minor);
}

}  // namespace
}  // namespace mayfly::plan
