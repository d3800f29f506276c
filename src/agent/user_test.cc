#include "agent/user.h"

#include <gtest/gtest.h>

namespace mayfly::agent {
namespace {

constexpr const char* passwd =
    "# comment\n"
    "root:x:0:0:root:/root:/bin/sh\n"
    "broken line\n"
    "odd:x:minus:1::/:/bin/sh\n"
    "builder:x:1000:1001:Builder:/home/builder:/bin/sh\n"
    "homeless:x:1002:1002:::\n";
constexpr const char* group =
    "root:x:0:\nbuilder:x:1001:\ndocker:x:999:other,builder\nwheel:x:10:build,builders\nlast:x:50:builder";

TEST(User, EmptyIsRoot) {
  auto u = resolve_user("", passwd, group).value();
  EXPECT_EQ(u.uid, 0U);
  EXPECT_EQ(u.home, "/root");
  EXPECT_EQ(u.name, "root");
}

TEST(User, ByNameWithItsGroups) {
  auto u = resolve_user("builder", passwd, group).value();
  EXPECT_EQ(u.uid, 1000U);
  EXPECT_EQ(u.gid, 1001U);
  EXPECT_EQ(u.groups, (std::vector<gid_t>{999, 50}));
  EXPECT_EQ(u.home, "/home/builder");
}

TEST(User, ByNumberKnownAndUnknown) {
  EXPECT_EQ(resolve_user("1000", passwd, group).value().name, "builder");
  auto u = resolve_user("4242", passwd, group).value();
  EXPECT_EQ(u.uid, 4242U);
  EXPECT_EQ(u.gid, 0U);
  EXPECT_EQ(u.home, "/");
  EXPECT_EQ(resolve_user("0", "", "").value().home, "/root");
}

TEST(User, WithAGroup) {
  EXPECT_EQ(resolve_user("builder:docker", passwd, group).value().gid, 999U);
  EXPECT_TRUE(resolve_user("builder:docker", passwd, group).value().groups.empty());
  EXPECT_EQ(resolve_user("1000:77", passwd, group).value().gid, 77U);
  EXPECT_EQ(resolve_user(":77", passwd, group).value().gid, 77U);
}

TEST(User, WhatIsMissingIsNamed) {
  auto u = resolve_user("nobody-here", passwd, group);
  ASSERT_FALSE(u);
  EXPECT_NE(u.error().text().find("'nobody-here'"), std::string::npos);
  EXPECT_FALSE(resolve_user("builder:nope", passwd, group));
  EXPECT_FALSE(resolve_user("4294967295", passwd, group));  // (uid_t)-1 would leave the user as it is: root
  EXPECT_FALSE(resolve_user("-1", passwd, group));
  EXPECT_FALSE(resolve_user("odd", passwd, group));
}

TEST(User, NoHomeIsSlash) { EXPECT_EQ(resolve_user("homeless", passwd, group).value().home, "/"); }

}  // namespace
}  // namespace mayfly::agent
