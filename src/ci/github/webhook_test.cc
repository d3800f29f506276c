// Bodies are written from docs.github.com, "Webhook events and payloads: workflow_job".
#include "ci/github/webhook.h"

#include <gtest/gtest.h>

namespace mayfly::github {
namespace {

constexpr const char* signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

TEST(WebhookSignature, GitHubsOwnExample) {
  EXPECT_TRUE(signature_fits("It's a Secret to Everybody", "Hello, World!", signature));
}

TEST(WebhookSignature, AnythingElseIsRefused) {
  std::string good = signature;
  for (std::size_t i = 0; i < good.size(); ++i) {
    auto bad = good;
    bad[i] = bad[i] == '0' ? '1' : '0';
    EXPECT_FALSE(signature_fits("It's a Secret to Everybody", "Hello, World!", bad)) << i;
  }
  for (std::string bad : {std::string(), std::string("sha256="), good.substr(7), good + "0", good.substr(0, 70),
                          "sha1=" + good.substr(7, 40)})
    EXPECT_FALSE(signature_fits("It's a Secret to Everybody", "Hello, World!", bad)) << bad;
  EXPECT_FALSE(signature_fits("It's a Secret to Everybody", "Hello, World! ", signature));
  EXPECT_FALSE(signature_fits("another", "Hello, World!", signature));
  // HMAC with an empty key: what somebody could compute who knows that none is set.
  EXPECT_FALSE(signature_fits("", "", "sha256=b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"));
}

TEST(WebhookNotice, AQueuedJob) {
  auto notice = read_notice("workflow_job", R"({
    "sender": {"login": "octocat"}, "unknown": [1, {"deep": null}],
    "repository": {"full_name": "acme/site", "private": true},
    "workflow_job": {"completed_at": null, "labels": ["self-hosted", "GPU"], "runner_id": null, "runner_name": null,
      "status": "queued", "conclusion": null, "run_attempt": 1, "run_id": 42, "id": 4711, "name": "build",
      "workflow_name": null, "created_at": "2026-11-22T12:00:00Z", "started_at": "2026-11-22T12:00:01Z",
      "html_url": "https://github.com/acme/site/actions/runs/42/job/4711", "steps": []},
    "action": "queued"})");
  ASSERT_TRUE(notice && *notice);
  const auto& job = (*notice)->job;
  EXPECT_EQ((*notice)->action, "queued");
  EXPECT_EQ(job.id, 4711);
  EXPECT_EQ(job.run_id, 42);
  EXPECT_EQ(job.repository, "acme/site");
  EXPECT_EQ(job.labels, (std::vector<std::string>{"self-hosted", "GPU"}));
  EXPECT_EQ(job.runner_name, "");
  EXPECT_EQ(job.latest(), parse_time("2026-11-22T12:00:01Z"));
}

TEST(WebhookNotice, OtherEventsAreNotForUs) {
  EXPECT_EQ(read_notice("ping", "{}").value(), std::nullopt);
  EXPECT_EQ(
      read_notice("workflow_job", R"({"action":"invented","workflow_job":{"id":1},"repository":{"full_name":"a/b"}})")
          .value(),
      std::nullopt);
}

TEST(WebhookNotice, BodiesThatAreNone) {
  for (std::string body : {"", "payload=%7B%7D", "[]", "null", "{}", R"({"action":"queued"})",
                           R"({"action":"queued","workflow_job":{"id":"x"},"repository":{"full_name":"a/b"}})",
                           R"({"action":"queued","workflow_job":null,"repository":{"full_name":"a/b"}})",
                           R"({"action":"queued","workflow_job":{"id":1},"repository":[]})"})
    EXPECT_FALSE(read_notice("workflow_job", body)) << body;
  EXPECT_FALSE(read_notice("workflow_job", std::string(max_notice + 1, ' ')));
  EXPECT_FALSE(read_notice("workflow_job", std::string(100'000, '[')));
}

TEST(Replay, EachDeliveryCountsOnceWhileItCouldComeAgain) {
  ReplayGuard guard;
  auto now = from_micros(1'700'000'000'000'000);
  EXPECT_TRUE(guard.take("a", now, now));
  EXPECT_FALSE(guard.take("a", now, now + seconds(1)));
  EXPECT_FALSE(guard.take("a", now, now + oldest_notice));
  EXPECT_TRUE(guard.take("b", now - oldest_notice, now));
  EXPECT_FALSE(guard.take("c", now - oldest_notice - seconds(1), now)) << "too old";
  EXPECT_FALSE(guard.take("d", now + std::chrono::hours(2), now)) << "from the future";
  EXPECT_FALSE(guard.take("e", Time{}, now)) << "without a time";
  EXPECT_FALSE(guard.take("", now, now));
}

TEST(Replay, RemembersNoMoreThanFits) {
  ReplayGuard guard;
  auto now = from_micros(1'700'000'000'000'000);
  for (int i = 0; i < 50'001; ++i) ASSERT_TRUE(guard.take(std::to_string(i), now, now));
  EXPECT_FALSE(guard.take("50000", now, now));
  EXPECT_TRUE(guard.take("0", now, now));  // the oldest was forgotten
}

}  // namespace
}  // namespace mayfly::github
