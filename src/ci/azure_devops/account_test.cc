#include "ci/azure_devops/account.h"

#include <gtest/gtest.h>

namespace mayfly::azure_devops {
namespace {

using Settings = std::map<std::string, std::string>;

TEST(AzureAccount, AnOrganizationAndATokenAreEnough) {
  auto a = account_from({{"organization", "acme"}, {"pool", "Linux builders"}, {"token", "pat"}}, "general");
  ASSERT_TRUE(a) << a.error().text();
  EXPECT_EQ(a->url, "https://dev.azure.com/acme");
  EXPECT_EQ(a->placeholder, "mayfly-placeholder-general");
  EXPECT_EQ(a->login_url, "https://login.microsoftonline.com");
  EXPECT_EQ(a->match, Case::ignore);
}

TEST(AzureAccount, AServerOfOnesOwnAndAServicePrincipal) {
  auto a = account_from({{"url", "https://tfs.acme.example:8443/tfs/Main/"},
                         {"pool", "p"},
                         {"tenant_id", "t"},
                         {"client_id", "c"},
                         {"client_secret", "s"},
                         {"demands", "exact"},
                         {"capabilities.docker", "yes"},
                         {"capabilities.os.name", "Debian"}},
                        "p");
  ASSERT_TRUE(a) << a.error().text();
  EXPECT_EQ(a->url, "https://tfs.acme.example:8443/tfs/Main");
  EXPECT_EQ(a->capabilities, (Capabilities{{"docker", "yes"}, {"os.name", "Debian"}}));
  EXPECT_EQ(a->match, Case::exact);
}

TEST(AzureAccount, AMistakeNamesItsKey) {
  const Settings good{{"organization", "acme"}, {"pool", "p"}, {"token", "pat"}};
  auto with = [&](Settings change) {
    auto all = good;
    for (auto& [k, v] : change) all[k] = v;
    std::erase_if(all, [](const auto& e) { return e.second.empty(); });
    auto a = account_from(all, "p");
    return a ? std::string("fine") : a.error().where;
  };
  EXPECT_EQ(with({}), "fine");
  EXPECT_EQ(with({{"url", "https://x/y"}}), "organization");
  EXPECT_EQ(with({{"organization", ""}}), "organization");
  EXPECT_EQ(with({{"organization", "https://dev.azure.com/acme"}}), "organization");
  EXPECT_EQ(with({{"pool", ""}}), "pool");
  EXPECT_EQ(with({{"token", ""}}), "client_secret");
  EXPECT_EQ(with({{"client_id", "c"}}), "token");
  // A token goes nowhere in clear, but to this machine.
  EXPECT_EQ(with({{"organization", ""}, {"url", "http://tfs.acme.example/tfs/Main"}}), "url");
  EXPECT_EQ(with({{"organization", ""}, {"url", "https://user@tfs.acme.example/tfs"}}), "url");
  EXPECT_EQ(with({{"organization", ""}, {"url", "http://127.0.0.1:8080/acme"}}), "fine");
  EXPECT_EQ(with({{"login_url", "http://login.example"}}), "login_url");
}

}  // namespace
}  // namespace mayfly::azure_devops
