// Answers are written from docs.github.com, "REST API endpoints for GitHub Actions".
#include "ci/github/wire.h"

#include <gtest/gtest.h>

#include "ci/github/labels.h"

namespace mayfly::github {
namespace {

json::value value(std::string_view text) { return parse(text).value(); }

TEST(Wire, JobsOfARun) {
  auto jobs = jobs_from(value(R"({"total_count": 3, "jobs": [
      {"id": 399444496, "run_id": 29679449, "status": "COMPLETED", "conclusion": "success", "runner_id": 1,
       "runner_name": "mayfly-1", "started_at": "2020-01-20T17:42:40Z", "completed_at": "2020-01-20T17:44:39Z",
       "steps": [{"name": "Set up job", "number": 1}], "labels": ["self-hosted", "foo"], "head_sha": "f83a"},
      {"run_id": 1, "status": "queued"}, null, "odd",
      {"status": "queued", "id": 5, "labels": null, "runner_id": 0, "runner_name": ""}]})"),
                        "acme/site");
  ASSERT_TRUE(jobs);
  ASSERT_EQ(jobs->size(), 2u);  // what has no id is left out
  EXPECT_EQ((*jobs)[0].status, "completed");
  EXPECT_EQ((*jobs)[0].runner_name, "mayfly-1");
  EXPECT_EQ((*jobs)[0].completed_at - (*jobs)[0].started_at, seconds(119));
  EXPECT_TRUE((*jobs)[1].labels.empty());
  EXPECT_EQ((*jobs)[1].created_at, Time{});
}

TEST(Wire, ListsThatAreNone) {
  EXPECT_TRUE(jobs_from(value(R"({"total_count":0})"), "")->empty());
  EXPECT_TRUE(jobs_from(value(R"({"total_count":0,"jobs":null})"), "")->empty());
  EXPECT_TRUE(deliveries_from(value("[]"))->empty());
  for (const char* text : {"null", "1", "{}", R"({"message":"Hello"})", R"({"jobs":{}})", R"("jobs")"})
    EXPECT_FALSE(jobs_from(value(text), "")) << text;
}

TEST(Wire, RunnersGroupsAndTheRest) {
  auto runners = runners_from(value(R"({"total_count":1,"runners":[{"id":23,"name":"MBP","os":"macos","status":"online",
      "busy":true,"ephemeral":true,"labels":[{"id":5,"name":"self-hosted","type":"read-only"},{"name":null}]}]})"));
  ASSERT_EQ(runners->size(), 1u);
  EXPECT_TRUE((*runners)[0].online && (*runners)[0].busy);
  EXPECT_EQ((*runners)[0].labels, (std::vector<std::string>{"self-hosted"}));
  auto jit = jit_runner_from(value(R"({"encoded_jit_config":"abc","runner":{"id":23,"name":"New runner"}})"));
  ASSERT_TRUE(jit);
  EXPECT_EQ(jit->config, "abc");
  EXPECT_FALSE(jit_runner_from(value(R"({"runner":{"id":23}})")));
  EXPECT_FALSE(jit_runner_from(value(R"({"encoded_jit_config":"abc","runner":{"name":"x"}})")));
  auto token = installation_token_from(value(R"({"token":"ghs_1","expires_at":"2016-07-11T22:14:10Z"})"));
  EXPECT_EQ(token->expires_at, parse_time("2016-07-11T22:14:10Z"));
  EXPECT_FALSE(installation_token_from(value(R"({"token":null})")));
  auto groups = value(R"({"total_count":2,"runner_groups":[{"id":1,"name":"Default"},{"id":7,"name":"Octo GPU"}]})");
  EXPECT_EQ(runner_group_from(groups, "octo gpu"), 7);
  EXPECT_EQ(runner_group_from(groups, "other"), std::nullopt);
  auto repositories = repositories_from(value(R"([{"full_name":"a/b"},{"full_name":"a/c","archived":true},{}])"));
  EXPECT_EQ(*repositories, (std::vector<std::string>{"a/b"}));
  auto deliveries =
      deliveries_from(value(R"([{"id":93676014012345678,"guid":"0b98","delivered_at":"2021-05-20T22:00:40Z",
      "redelivery":false,"status":"Invalid HTTP Response: 503","status_code":503,"event":"workflow_job","action":"queued"}])"));
  ASSERT_EQ(deliveries->size(), 1u);
  EXPECT_FALSE(deliveries->front().ok());
  EXPECT_EQ(deliveries->front().id, 93676014012345678);
}

TEST(Wire, Times) {
  auto noon = parse_time("2026-11-22T12:00:00Z");
  ASSERT_TRUE(noon);
  EXPECT_EQ(format_time(*noon), "2026-11-22T12:00:00.000Z");
  EXPECT_EQ(parse_time("2026-11-22T12:00:00.250000Z"), *noon + milliseconds(250));
  EXPECT_EQ(parse_time("2026-11-22T14:00:00+02:00"), noon);
  EXPECT_EQ(parse_time("2026-11-22T04:00:00.000-08:00"), noon);
  for (const char* odd :
       {"", "now", "2026-11-22", "2026-13-22T12:00:00Z", "2026-02-30T12:00:00Z", "2026-11-22T25:00:00Z",
        "2026-11-22T12:00:00.Z", "2026-11-22T12:00:00 CET", "2026-11-22T12:00:00+2"})
    EXPECT_EQ(parse_time(odd), std::nullopt) << odd;
}

TEST(Wire, NextPage) {
  EXPECT_EQ(
      next_link(R"(<https://api.github.com/a?page=1>; rel="prev", <https://api.github.com/a?page=3>; rel="next", )"
                R"(<https://api.github.com/a?page=9>; rel="last")"),
      "https://api.github.com/a?page=3");
  EXPECT_EQ(next_link(R"(<x?cursor=v1_1>;rel=next)"), "x?cursor=v1_1");
  for (const char* none : {"", R"(<x>; rel="last")", "<x", R"(x; rel="next")"})
    EXPECT_EQ(next_link(none), std::nullopt) << none;
}

TEST(Wire, MessagesOfErrors) {
  EXPECT_EQ(message_from(R"({"message":"Validation Failed.","errors":["a",{"message":"b"}],"documentation_url":"x"})"),
            "Validation Failed.: a: b");
  EXPECT_EQ(message_from(R"({"message":"a\nb\u001b[1m."})"), "a b [1m");
  EXPECT_EQ(message_from("<html>"), "");
  EXPECT_EQ(message_from("{\"message\":\"" + std::string(9999, 'x') + "\"}").size(), 300u);
}

TEST(Labels, AllOfTheJobsAmongTheRunnersWhateverTheirCase) {
  auto runner = runner_labels({"GPU", "linux", "self-HOSTED", "gpu"});
  ASSERT_EQ(runner.size(), 4u);
  EXPECT_TRUE(serves(runner, {"self-hosted", "linux", "gpu"}));
  EXPECT_TRUE(serves(runner, {"Gpu"}));
  EXPECT_FALSE(serves(runner, {"gpu", "windows"}));
  EXPECT_FALSE(serves(runner, {"ubuntu-latest"}));
  EXPECT_FALSE(serves(runner, {}));
}

TEST(Labels, WhatCannotBeOne) {
  EXPECT_TRUE(check_labels({"a"}));
  EXPECT_FALSE(check_labels({}));
  EXPECT_FALSE(check_labels({""}));
  EXPECT_FALSE(check_labels({"a,b"}));
  EXPECT_FALSE(check_labels({std::string(257, 'a')}));
  EXPECT_FALSE(check_labels(std::vector<std::string>(91, "a")));
}

}  // namespace
}  // namespace mayfly::github
