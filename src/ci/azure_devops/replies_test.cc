// Answers as the documentation and what others observed allow them, and as nobody should send them.
#include "ci/azure_devops/replies.h"

#include <gmock/gmock.h>

#include "ci/azure_devops/job.h"

namespace mayfly::azure_devops {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(AzureTime, IsReadAsDotNetWritesIt) {
  auto at = Time(seconds(1'700'000'000));
  EXPECT_EQ(parse_time("2023-11-14T22:13:20Z"), at);
  EXPECT_EQ(parse_time("2023-11-14T22:13:20.1234567Z"), at + Duration(123'456));
  EXPECT_EQ(parse_time("2023-11-14T22:13:20.5"), at + milliseconds(500));
  EXPECT_EQ(parse_time("2023-11-14T23:43:20+01:30"), at);
  for (auto odd :
       {"", "2023", "2023-13-14T22:13:20Z", "2023-11-14T22:13:20Q", "2023-02-30T00:00:00Z", "not a time at all!"})
    EXPECT_FALSE(parse_time(odd)) << odd;
}

// Written from the fields that the vendor's client library and KEDA's scaler name.
constexpr auto queue = R"({"count":4,"value":[
  {"requestId":11,"queueTime":"2026-11-22T10:00:00.1Z","serviceOwner":"x","jobId":"j11","planId":"p11","result":null,
   "demands":["docker","os -equals linux","Agent.Version -gtVersion 2.163.1"],
   "matchedAgents":[{"id":7,"name":"placeholder","status":"offline"}],
   "definition":{"id":3,"name":"build","_links":{"web":{"href":"https://d"}}},
   "owner":{"_links":{"web":{"href":"https://dev.azure.com/acme/p/_build/results?buildId=5"}},"id":5,"name":"20261122.1"},
   "poolId":2,"priority":0,"somethingNew":{"deep":[1,{"x":null}]}},
  {"priority":3,"result":null,"reservedAgent":{"name":"a","id":9},"assignTime":"2026-11-22T10:00:01Z",
   "receiveTime":"2026-11-22T10:00:02Z","queueTime":"2026-11-22T10:00:00Z","requestId":12},
  {"requestId":13,"result":"succeededWithIssues","finishTime":"2026-11-22T10:05:00Z","receiveTime":"2026-11-22T10:00:02Z"},
  {"requestId":14,"demands":null,"matchedAgents":null,"owner":null,"receiveTime":"0001-01-01T00:00:00"}]})";

TEST(AzureReplies, JobRequestsAreReadWhateverTheirOrderAndWhatIsMissing) {
  auto seen = parse_job_requests(queue);
  ASSERT_TRUE(seen) << seen.error().text();
  ASSERT_EQ(seen->all.size(), 4u);
  const auto& [waiting, running, over, bare] = std::tie(seen->all[0], seen->all[1], seen->all[2], seen->all[3]);
  EXPECT_TRUE(waiting.pending());
  EXPECT_THAT(waiting.demands, ElementsAre("docker", "os -equals linux", "Agent.Version -gtVersion 2.163.1"));
  ASSERT_TRUE(waiting.matched);
  EXPECT_EQ(waiting.matched->at(0).name, "placeholder");
  EXPECT_EQ(waiting.url, "https://dev.azure.com/acme/p/_build/results?buildId=5");
  EXPECT_TRUE(running.running());
  EXPECT_EQ(running.agent->name, "a");
  EXPECT_EQ(running.priority, 3);
  EXPECT_FALSE(over.pending() || over.running());
  EXPECT_EQ(outcome_of(over), CiOutcome::succeeded);
  EXPECT_TRUE(bare.pending());
  EXPECT_FALSE(bare.matched);
  EXPECT_EQ(version_asked_for(seen->all), "2.163.1");
}

TEST(AzureReplies, OddEntriesDoNotHideTheOthers) {
  auto seen = parse_job_requests(R"({"value":[null,7,"x",{},{"requestId":"21"},{"requestId":-1},{"requestId":22.0,
    "result":2,"demands":"none","reservedAgent":[],"queueTime":5}]})");
  ASSERT_TRUE(seen);
  ASSERT_EQ(seen->all.size(), 2u);
  EXPECT_EQ(seen->all[0].id, 21);
  EXPECT_EQ(seen->all[1].result, "failed");
  EXPECT_EQ(seen->odd, 5u);
}

TEST(AzureReplies, WhatIsNoListIsAnErrorAndNoEmptyQueue) {
  for (auto body : {"", "{}", "[]", "{\"value\":3}", "<html>Sign in</html>", R"({"count":1,"value":[{"requestId":1)"})
    EXPECT_FALSE(parse_job_requests(body)) << body;
  auto none = parse_job_requests("\xef\xbb\xbf{\"count\":0,\"value\":[]}");
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->all.empty());
}

TEST(AzureReplies, AReceiveTimeThatCannotBeReadIsOneAllTheSame) {
  auto seen = parse_job_requests(R"({"value":[{"requestId":1,"receiveTime":"yesterday"}]})");
  ASSERT_TRUE(seen);
  EXPECT_TRUE(seen->all[0].running());
}

TEST(AzureReplies, ARegisteredAgentHasAnIdentity) {
  auto agent = parse_agent(R"({"id":8,"name":"mf-1","version":"4.1.0","status":"online","enabled":true,
    "authorization":{"clientId":"c0ffee00-0000-0000-0000-000000000001","authorizationUrl":"https://vssps/token",
                     "publicKey":{"exponent":"AQAB","modulus":"AA=="}},
    "properties":{"ServerUrl":{"$type":"System.String","$value":"https://dev.azure.com/acme/"},
                  "RequireFipsCryptography":{"$type":"System.Boolean","$value":true}},
    "lastCompletedRequest":{"requestId":4,"result":"canceled"},"assignedRequest":null})");
  ASSERT_TRUE(agent);
  EXPECT_EQ(agent->server_url, "https://dev.azure.com/acme/");
  EXPECT_TRUE(agent->require_fips);
  EXPECT_TRUE(agent->online);
  EXPECT_EQ(outcome_of(*agent->last_completed), CiOutcome::cancelled);
  EXPECT_FALSE(agent->assigned);
}

TEST(AzureReplies, AnErrorsSentenceIsShort) {
  EXPECT_EQ(error_message(R"({"$id":"1","message":"TF400813: not authorized\r\nstack","typeKey":"X"})"),
            "TF400813: not authorized");
  EXPECT_EQ(error_message(R"({"error":"invalid_client","error_description":"AADSTS7000222: expired"})"),
            "AADSTS7000222: expired");
  EXPECT_EQ(error_message("<html>"), "");
  EXPECT_LE(error_message("{\"message\":\"" + std::string(5000, 'x') + "\"}").size(), 300u);
}

TEST(AzureReplies, ATokenWithoutValueIsNone) {
  EXPECT_FALSE(parse_token(R"({"expires_in":3599})"));
  auto token = parse_token(R"({"token_type":"Bearer","expires_in":"3599","access_token":"t"})");
  ASSERT_TRUE(token);
  EXPECT_EQ(token->lifetime, seconds(3599));
  // Found by the fuzzer: such a time has no room in microseconds.
  EXPECT_EQ(parse_token(R"({"expires_in":"-2440461182192990434","access_token":"t"})")->lifetime, seconds(0));
  EXPECT_EQ(parse_token(R"({"expires_in":9000000000000000000,"access_token":"t"})")->lifetime, std::chrono::hours(24));
}

}  // namespace
}  // namespace mayfly::azure_devops
