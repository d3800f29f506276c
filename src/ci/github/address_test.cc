#include "ci/github/address.h"

#include <gtest/gtest.h>

namespace mayfly::github {
namespace {

TEST(Address, EveryKindOfServer) {
  auto org = parse_address("https://github.com/acme").value();
  EXPECT_EQ(org.server, "https://api.github.com");
  EXPECT_EQ(org.prefix, "");
  EXPECT_TRUE(org.whole_organization());
  EXPECT_EQ(org.runners(), "/orgs/acme/actions/runners");
  EXPECT_EQ(org.text(), "https://github.com/acme");

  auto repo = parse_address("https://GitHub.com/acme/site.git/").value();
  EXPECT_EQ(repo.runners(), "/repos/acme/site/actions/runners");
  EXPECT_EQ(repo.text(), "https://github.com/acme/site");

  auto tenant = parse_address("https://acme.ghe.com/team").value();
  EXPECT_EQ(tenant.server, "https://api.acme.ghe.com");
  EXPECT_EQ(tenant.prefix, "");

  auto enterprise = parse_address("https://git.acme.example:8443/team/a.b_c").value();
  EXPECT_EQ(enterprise.server, "https://git.acme.example:8443");
  EXPECT_EQ(enterprise.prefix, "/api/v3");
  EXPECT_EQ(enterprise.repository, "a.b_c");

  EXPECT_EQ(parse_address("http://127.0.0.1:8080/acme").value().server, "http://127.0.0.1:8080");
}

TEST(Address, WhatCannotBeOneSaysWhy) {
  for (auto [url, why] : std::initializer_list<std::pair<const char*, const char*>>{
           {"acme/site", "this is not an https:// address"},
           {"http://github.com/acme", "over http:// the token would travel in clear"},
           {"https://github.com", "this names neither an organization nor a repository"},
           {"https:///acme", "this names no host"},
           {"https://github.com:/acme", "this names no host"},
           {"https://me@github.com/acme", "this names no host"},
           {"https://github.com/acme/site/actions", "this has more parts than an owner and a repository"},
           {"https://github.com/a%2fb", "'a%2fb' cannot be an organization"},
           {"https://github.com/acme/..", "'..' cannot be a repository"},
           {"https://github.com/enterprises/acme",
            "runners of a whole enterprise have no queue that can be read; name one of its organizations"}}) {
    auto refused = parse_address(url);
    ASSERT_FALSE(refused) << url;
    EXPECT_EQ(refused.error().what, why) << url;
    EXPECT_EQ(refused.error().where, url);
  }
}

}  // namespace
}  // namespace mayfly::github
