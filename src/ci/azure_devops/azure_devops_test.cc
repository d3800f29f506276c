// What only Azure DevOps needs: the placeholder, second jobs, the fallback, versions, clocks, sign-in.
#include "ci/azure_devops/azure_devops.h"

#include <gmock/gmock.h>

#include "ci/azure_devops/stand_in_test.h"

namespace mayfly::azure_devops {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class AzureDevOpsTest : public testing::Test {
 protected:
  void SetUp() override { connect(with_token(server.url())); }
  void connect(Account account) { ci = std::make_unique<AzureDevOps>(std::move(account), secrets, log); }
  static Deadline soon() { return after(seconds(10)); }
  CiSight look() {
    auto sight = ci->observe(soon());
    EXPECT_TRUE(sight) << sight.error().text();
    return sight ? *sight : CiSight{};
  }
  boost::json::object agent(const std::string& name) {
    auto state = server.state();
    for (const auto& a : state["agents"].as_array())
      if (a.as_object().at("name").as_string() == name) return a.as_object();
    return {};
  }

  StandIn server;
  KnownSecrets secrets;
  Log log{LogLevel::error};
  std::unique_ptr<AzureDevOps> ci;
};

TEST_F(AzureDevOpsTest, AnOfflinePlaceholderLetsAnEmptyPoolQueue) {
  server.tell("set", {{"strict", true}});
  look();
  auto there = agent(placeholder);
  ASSERT_FALSE(there.empty());
  EXPECT_EQ(there.at("status").as_string(), "offline");
  server.tell("queue", {{"demands", {"DOCKER"}}});
  server.tell("queue", {{"demands", {"gpu"}}});  // nobody has it: the service fails it
  EXPECT_EQ(look().jobs.size(), 1u);
  // Its registration is no ghost, whatever prefix is asked for.
  auto all = ci->registrations("mayfly-", soon());
  ASSERT_TRUE(all);
  EXPECT_TRUE(all->empty());
}

TEST_F(AzureDevOpsTest, APlaceholderGetsTheCapabilitiesOfANewConfiguration) {
  look();
  auto account = with_token(server.url());
  account.capabilities["gpu"] = "a100";
  connect(account);
  look();
  EXPECT_EQ(agent(placeholder).at("userCapabilities").as_object().at("gpu").as_string(), "a100");
}

TEST_F(AzureDevOpsTest, ARegistrationsCapabilitiesOutliveTheAgentsOwnScan) {
  for (int i = 0; i < 4; ++i) {  // the stand-in takes them with the registration at times, at times not
    auto name = "mf-a-p-" + std::to_string(i);
    ASSERT_TRUE(ci->mint(name, {}, soon()));
    EXPECT_EQ(agent(name).at("userCapabilities").as_object().at("os").as_string(), "Debian 12") << i;
  }
}

TEST_F(AzureDevOpsTest, AnAgentThatBeganItsJobGetsNoOther) {
  auto made = ci->mint("mf-a-p-1", {}, soon());
  ASSERT_TRUE(made);
  server.tell("queue", {{"id", 5}});
  look();
  EXPECT_TRUE(agent("mf-a-p-1").at("enabled").as_bool());
  server.tell("take", {{"runner", "mf-a-p-1"}, {"id", 5}});
  look();
  EXPECT_FALSE(agent("mf-a-p-1").at("enabled").as_bool());
  EXPECT_TRUE(agent(placeholder).at("enabled").as_bool());
}

TEST_F(AzureDevOpsTest, ASecondJobIsNoticedAndWaitsForTheServiceToTakeItBack) {
  auto made = ci->mint("mf-a-p-1", {}, soon());
  ASSERT_TRUE(made);
  server.tell("queue", {{"id", 5}});
  server.tell("queue", {{"id", 6}});
  server.tell("take", {{"runner", "mf-a-p-1"}, {"id", 5}});
  look();
  server.tell("end", {{"id", 5}, {"outcome", "succeeded"}});
  ASSERT_TRUE(server.tell("take", {{"runner", "mf-a-p-1"}, {"id", 6}, {"second", true}})["ok"].as_bool());
  auto sight = look();
  ASSERT_EQ(sight.jobs.size(), 1u);
  EXPECT_EQ(sight.jobs[0].id, "6");
  EXPECT_EQ(sight.jobs[0].phase, CiPhase::pending);
  EXPECT_EQ(sight.jobs[0].runner, "");  // nobody's who could run it
  EXPECT_THAT(sight.notice, HasSubstr("Job 6 was assigned to agent mf-a-p-1"));
  // What the builder had was its first.
  auto took = ci->taken(made->registration, soon());
  ASSERT_TRUE(took && *took);
  EXPECT_EQ((*took)->id, "5");
  EXPECT_EQ((*took)->outcome, CiOutcome::succeeded);
  // Deleting the agent now might cancel the second job at the service.
  auto early = ci->forget(made->registration, soon());
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().code, ErrorCode::conflict);
  server.tell("offline", {{"runner", "mf-a-p-1"}});
  EXPECT_TRUE(ci->forget(made->registration, soon()));
  EXPECT_TRUE(agent("mf-a-p-1").empty());
  EXPECT_THAT(look().notice, Not(HasSubstr("Job 6")));
  EXPECT_EQ(look().jobs.size(), 1u);  // back in the queue
}

TEST_F(AzureDevOpsTest, TheJobItHadIsFoundWhenALaterOneHidesIt) {
  auto made = ci->mint("mf-a-p-1", {}, soon());
  ASSERT_TRUE(made);
  server.tell("queue", {{"id", 5}});
  server.tell("queue", {{"id", 6}});
  server.tell("take", {{"runner", "mf-a-p-1"}, {"id", 5}});
  look();
  server.tell("end", {{"id", 5}, {"outcome", "failed"}});
  server.tell("take", {{"runner", "mf-a-p-1"}, {"id", 6}, {"second", true}});
  server.tell("end", {{"id", 6}, {"outcome", "abandoned"}});
  auto took = ci->taken(made->registration, soon());
  ASSERT_TRUE(took && *took);
  EXPECT_EQ((*took)->id, "5");
  EXPECT_EQ((*took)->outcome, CiOutcome::failed);
}

TEST_F(AzureDevOpsTest, AnAgentThatRunsAJobIsNotForgotten) {
  auto made = ci->mint("mf-a-p-1", {}, soon());
  server.tell("queue", {{"id", 5}});
  server.tell("take", {{"runner", "mf-a-p-1"}, {"id", 5}});
  auto refused = ci->forget(made->registration, soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::conflict);
  auto all = ci->registrations("mf-a-", soon());
  ASSERT_TRUE(all);
  EXPECT_TRUE(all->at(0).busy);
}

TEST_F(AzureDevOpsTest, ARegistrationWhoseAnswerWasLostIsMadeAnew) {
  server.tell("register", {{"name", "mf-a-p-1"}});
  auto made = ci->mint("mf-a-p-1", {}, soon());
  ASSERT_TRUE(made) << made.error().text();
  EXPECT_EQ(made->registration.id, std::to_string(agent("mf-a-p-1").at("id").as_int64()));
}

TEST_F(AzureDevOpsTest, ATokenEntersABuilderOnlyWhereTheConfigurationSaysSo) {
  for (boost::json::value how : {boost::json::value(405), boost::json::value("no-identity")}) {
    connect(with_token(server.url()));
    server.tell("set", {{"refuse", how}});
    EXPECT_FALSE(ci->mint("mf-a-p-1", {}, soon()));
    EXPECT_TRUE(agent("mf-a-p-1").empty());  // nothing half-made stays
    auto account = with_token(server.url());
    account.fallback_token_secret = "weak";
    secrets.values["weak"] = "a-weak-token-for-config\n";
    connect(account);
    auto made = ci->mint("mf-a-p-2", {}, soon());
    ASSERT_TRUE(made) << made.error().text();
    EXPECT_EQ(made->secrets.at("MAYFLY_AZURE_TOKEN"), "a-weak-token-for-config");
    EXPECT_THAT(made->note, HasSubstr("fallback"));
    EXPECT_THAT(made->note, Not(HasSubstr("a-weak-token")));
  }
}

TEST_F(AzureDevOpsTest, AnAgentThatRegisteredItselfGetsThePoolsCapabilitiesAlsoAfterARestart) {
  server.tell("set", {{"refuse", 405}});
  auto account = with_token(server.url());
  account.fallback_token_secret = "weak";
  secrets.values["weak"] = "a-weak-token-for-config";
  connect(account);
  ASSERT_TRUE(ci->mint("mf-a-p-1", {}, soon()));
  ASSERT_TRUE(ci->mint("mf-a-p-2", {}, soon()));
  look();
  server.tell("register", {{"name", "mf-a-p-1"}});
  look();
  EXPECT_EQ(agent("mf-a-p-1").at("userCapabilities").as_object().at("os").as_string(), "Debian 12");
  server.tell("register", {{"name", "mf-a-p-2"}});
  connect(account);
  ASSERT_TRUE(ci->registrations("mf-a-", soon()));
  look();
  EXPECT_EQ(agent("mf-a-p-2").at("userCapabilities").as_object().at("docker").as_string(), "yes");
}

TEST_F(AzureDevOpsTest, TheCredentialOfABuilderHoldsNothingOfTheTokens) {
  auto made = ci->mint("mf-a-p-1", {}, soon());
  ASSERT_TRUE(made);
  for (const auto& [variable, value] : made->secrets) EXPECT_THAT(value, Not(HasSubstr("pat-0123"))) << variable;
}

TEST_F(AzureDevOpsTest, SaysWhatEndangersOneJobAgents) {
  server.tell("queue", {{"demands", {"Agent.Version -gtVersion 4.300.0"}}});
  EXPECT_THAT(look().notice, HasSubstr("ask for agent 4.300.0"));
  connect(with_token(server.url()));
  server.tell("set", {{"auto_update", true}, {"skew", 240}});
  server.tell("vanish", {{"id", 1}});
  EXPECT_THAT(look().notice, HasSubstr("updates its agents by itself"));
  EXPECT_THAT(look().notice, HasSubstr("behind Azure DevOps' own"));
}

TEST_F(AzureDevOpsTest, ARotatedTokenNeedsNoRestart) {
  look();
  server.tell("set", {{"pat", "a-new-token-0123456789"}});
  auto refused = ci->observe(soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::denied);
  EXPECT_THAT(refused.error().next, HasSubstr("'pat'"));
  EXPECT_THAT(refused.error().text(), Not(HasSubstr("pat-0123")));
  secrets.values["pat"] = "a-new-token-0123456789\n";
  look();
}

TEST_F(AzureDevOpsTest, ARevokedEntraTokenIsRenewedAtOnceAndAWrongSecretIsSaidSo) {
  connect(with_entra(server.url()));
  look();
  server.tell("set", {{"fault", "credential_expired"}});
  look();
  secrets.values["entra"] = "not-the-secret";
  auto refused = ci->observe(soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::denied);
  EXPECT_THAT(refused.error().text(), HasSubstr("AADSTS7000215"));
  EXPECT_THAT(refused.error().text(), Not(HasSubstr("not-the-secret")));
}

TEST_F(AzureDevOpsTest, APageInsteadOfAnAnswerIsAFailedSignIn) {
  server.tell("set", {{"fault", "not_json"}});
  auto sight = ci->observe(soon());
  ASSERT_FALSE(sight);
  EXPECT_EQ(sight.error().code, ErrorCode::denied);
  EXPECT_NE(sight.error().what.find("did not accept the sign-in"), std::string::npos) << sight.error().what;
}

TEST_F(AzureDevOpsTest, AMissingPoolIsNamed) {
  auto account = with_token(server.url());
  account.pool = "windows";
  connect(account);
  auto refused = ci->observe(soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::not_found);
  EXPECT_THAT(refused.error().text(), HasSubstr("no agent pool 'windows'"));
}

TEST(AzureRetryAfter, IsANumberOrADateOfTheServersOwnClock) {
  EXPECT_EQ(retry_after("7", ""), seconds(7));
  EXPECT_EQ(retry_after("0.5", ""), milliseconds(500));
  EXPECT_EQ(retry_after("999999", ""), std::chrono::minutes(10));
  EXPECT_EQ(retry_after("Sun, 06 Nov 1994 08:49:47 GMT", "Sun, 06 Nov 1994 08:49:37 GMT"), seconds(10));
  for (auto odd : {"", "soon", "-3", "nan"})
    EXPECT_EQ(retry_after(odd, "Sun, 06 Nov 1994 08:49:37 GMT"), Duration{}) << odd;
}

}  // namespace
}  // namespace mayfly::azure_devops
