// What is GitHub's own: lost replies, names in use, clocks, tokens, many repositories, notifications out of order.
#include <gmock/gmock.h>

#include <algorithm>

#include "ci/github/deliveries.h"
#include "ci/github/test_world.h"

namespace mayfly::github::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

Deadline soon() { return after(seconds(10)); }

std::set<std::string> pending(Ci& ci) {
  std::set<std::string> out;
  auto sight = ci.observe(soon());
  EXPECT_TRUE(sight && sight->whole) << (sight ? sight->notice : sight.error().text());
  if (sight)
    for (const auto& j : sight->jobs)
      if (j.phase == CiPhase::pending) out.insert(j.id);
  return out;
}

TEST(GitHub, ALostReplyToARegistrationIsMadeGoodWithTheSameName) {
  World w(false);
  w.server.lose_reply_to = "/generate-jitconfig";
  EXPECT_FALSE(w.ci->mint("mf-1", {}, soon()));
  auto ghost = w.server.runner_named("mf-1");
  ASSERT_NE(ghost, 0);
  auto again = w.ci->mint("mf-1", {}, soon());  // 409: what the first try left is removed
  ASSERT_TRUE(again) << again.error().text();
  EXPECT_EQ(w.server.runners.size(), 1u);
  EXPECT_EQ(again->registration.id, std::to_string(w.server.runner_named("mf-1")));
  EXPECT_NE(w.server.runner_named("mf-1"), ghost);
}

TEST(GitHub, ANameThatABusyRunnerHasIsNotTakenFromIt) {
  World w(false);
  ASSERT_TRUE(w.ci->mint("mf-1", {}, soon()));
  w.server.runners[w.server.runner_named("mf-1")].busy = true;
  auto second = w.ci->mint("mf-1", {}, soon());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::conflict);
  auto removed = w.ci->forget({"mf-1", "", false}, soon());
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().code, ErrorCode::conflict);
}

TEST(GitHub, RunnersCarryTheirLabelsTheDefaultOnesAndTheirGroup) {
  World w(false);
  w.keys["runner_group"] = "gpu MACHINES";
  w.make();
  ASSERT_TRUE(w.ci->mint("mf-1", {}, soon()));
  const auto& r = w.server.runners.at(w.server.runner_named("mf-1"));
  EXPECT_EQ(r.group, 7);
  EXPECT_THAT(r.labels, AllOf(SizeIs(5), Contains("self-hosted"), Contains("Linux"), Contains("gpu"), Contains("big")));
  w.keys["runner_group"] = "nobody's";
  w.make();
  auto refused = w.ci->mint("mf-2", {}, soon());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), HasSubstr("there is no runner group 'nobody's'"));
}

TEST(GitHub, TheAppSignsInByGitHubsClock) {
  for (auto ahead : {Duration(std::chrono::hours(3)), Duration(-std::chrono::hours(3))}) {
    World w(true);
    w.server.ahead = ahead;
    w.queue(1);
    EXPECT_EQ(pending(*w.ci).size(), 1u);
    EXPECT_EQ(w.server.tokens_made, 1);
  }
}

TEST(GitHub, OneTokenServesUntilItIsAboutToExpire) {
  World w(true);
  for (int i = 0; i < 3; ++i) pending(*w.ci);
  EXPECT_EQ(w.server.tokens_made, 1);
  w.server.ahead = std::chrono::minutes(50);
  for (int i = 0; i < 3; ++i) pending(*w.ci);
  EXPECT_EQ(w.server.tokens_made, 1);
  w.server.ahead = std::chrono::minutes(56);  // before it expires, not after
  for (int i = 0; i < 3; ++i) pending(*w.ci);
  EXPECT_EQ(w.server.tokens_made, 2);
}

TEST(GitHub, PoolsOfOneAccountShareTokensAndLooks) {
  World w(true);
  w.queue(1);
  auto other = w.connectors->make(w.keys);
  ASSERT_TRUE(other);
  EXPECT_EQ(pending(*w.ci).size(), 1u);
  auto requests = w.server.asked.size();
  EXPECT_EQ(pending(**other).size(), 1u);
  EXPECT_EQ(w.server.tokens_made, 1);
  EXPECT_EQ(std::count(w.server.asked.begin() + static_cast<long>(requests), w.server.asked.end(),
                       "GET /repos/acme/site/actions/runs"),
            0);
}

TEST(GitHub, PoolsOfOneAccountMayAskAllAtOnce) {
  World w(true);
  for (int i = 1; i <= 5; ++i) w.queue(i);
  auto other = w.connectors->make(w.keys);
  ASSERT_TRUE(other);
  auto [headers, body] = w.notice(1, "queued", "a");
  std::vector<std::thread> threads;
  for (Ci* ci : {w.ci.get(), other->get()}) {
    threads.emplace_back([ci] {
      for (int i = 0; i < 5; ++i) EXPECT_TRUE(ci->observe(soon()));
    });
    threads.emplace_back([ci, name = ci == w.ci.get() ? "mf-a-" : "mf-b-"] {
      for (int i = 0; i < 5; ++i) {
        auto made = ci->mint(name + std::to_string(i), {}, soon());
        ASSERT_TRUE(made) << made.error().text();
        EXPECT_TRUE(ci->taken(made->registration, soon()));
        EXPECT_TRUE(ci->forget(made->registration, soon()));
      }
    });
    threads.emplace_back([ci, h = headers, b = body] { EXPECT_TRUE(ci->webhooks()->receive(h, b)); });
  }
  for (auto& t : threads) t.join();
  EXPECT_TRUE(w.server.runners.empty());
  EXPECT_EQ(w.server.tokens_made, 1);
}

TEST(GitHub, ARotatedTokenIsReadAnewAndAWrongOneSaysWhatToDo) {
  World w(false);
  EXPECT_TRUE(w.ci->observe(soon()));
  w.server.tokens = {"pat-2"};
  auto refused = w.ci->observe(soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::denied);
  EXPECT_THAT(refused.error().text(), AllOf(HasSubstr("401 Bad credentials"), HasSubstr("put a new one")));
  EXPECT_THAT(refused.error().text(), testing::Not(HasSubstr("pat-1")));
  w.secrets.values["pat"] = "pat-2\n";
  EXPECT_TRUE(w.ci->observe(soon()));
}

TEST(GitHub, WhatDidNotChangeIsNotSentAgain) {
  World w(false);
  for (int i = 1; i <= 5; ++i) w.queue(i);
  EXPECT_EQ(pending(*w.ci).size(), 5u);
  EXPECT_EQ(w.server.unchanged, 0);
  auto first = w.server.asked.size();
  EXPECT_EQ(pending(*w.ci).size(), 5u);
  // All but the list of repositories, which is not asked for again so soon.
  EXPECT_EQ(static_cast<std::size_t>(w.server.unchanged), w.server.asked.size() - first);
  EXPECT_GT(w.server.unchanged, 5);
}

TEST(GitHub, ARunWithMoreJobsThanAPage) {
  World w(false);
  for (int i = 1; i <= 150; ++i) w.queue(i).run = 7;
  EXPECT_EQ(pending(*w.ci).size(), 150u);
}

TEST(GitHub, OneRepositoryOutOfReachDoesNotHideTheOthers) {
  World w(false);
  w.server.repositories = {"acme/site", "acme/tools", "stranger/site"};
  w.queue(1);
  w.queue(2).repository = "acme/tools";
  w.queue(3).repository = "stranger/site";
  EXPECT_EQ(pending(*w.ci), (std::set<std::string>{"1", "2"}));
  w.keys["repositories"] = "gone, tools";
  w.make();
  EXPECT_EQ(pending(*w.ci), (std::set<std::string>{"2"}));
}

TEST(GitHub, JobsThatWaitForAnApprovalAreNotPending) {
  World w(false);
  w.queue(1).status = "waiting";
  EXPECT_TRUE(pending(*w.ci).empty());
}

TEST(GitHub, AShortJobThatNoLookSawIsFoundByItsRunner) {
  World w(false);
  ASSERT_TRUE(w.ci->mint("mf-1", {}, soon()));
  EXPECT_TRUE(pending(*w.ci).empty());
  auto& j = w.queue(9);
  j.status = "completed", j.conclusion = "failure", j.runner = "mf-1";
  w.server.runners.clear();
  auto taken = w.ci->taken({"mf-1", "21", false}, soon());
  ASSERT_TRUE(taken && *taken);
  EXPECT_EQ((*taken)->id, "9");
  EXPECT_EQ((*taken)->outcome, CiOutcome::failed);
  EXPECT_EQ((*taken)->result, "failure");
}

TEST(GitHub, ASecondaryLimitIsAPauseOfAMinute) {
  World w(false);
  w.server.fault = FakeGithub::Fault::secondary_limit;
  auto sight = w.ci->observe(soon());
  ASSERT_TRUE(sight) << sight.error().text();
  EXPECT_TRUE(sight->throttled);
  EXPECT_GE(sight->again, seconds(55));
  auto before = w.server.asked.size();
  EXPECT_TRUE(w.ci->observe(soon()));
  EXPECT_FALSE(w.ci->mint("mf-1", {}, soon()));
  EXPECT_EQ(w.server.asked.size(), before);  // nothing is sent meanwhile
}

TEST(GitHub, HowAJobEndedIsAskedForAlsoWhenLooksHaveToWait) {
  World w(false);
  w.server.remaining = 450;  // less than the tenth that looks leave
  auto& j = w.queue(1);
  j.status = "in_progress", j.runner = "mf-1";
  auto started = w.notice(1, "in_progress", "a");
  ASSERT_TRUE(w.ci->webhooks()->receive(started.first, started.second));
  (void)w.ci->observe(soon());
  auto look = w.ci->observe(soon());
  ASSERT_TRUE(look);
  EXPECT_TRUE(look->throttled);
  j.status = "completed", j.conclusion = "success";
  auto taken = w.ci->taken({"mf-1", "21", false}, soon());
  ASSERT_TRUE(taken) << taken.error().text();
  ASSERT_TRUE(*taken);
  EXPECT_EQ((*taken)->outcome, CiOutcome::succeeded);
}

TEST(GitHub, NotificationsOutOfOrderNeverTakeAJobBack) {
  World w(false);
  auto& j = w.queue(1);
  auto queued = w.notice(1, "queued", "a");
  j.status = "in_progress", j.runner = "mf-1";
  auto started = w.notice(1, "in_progress", "b");
  ASSERT_TRUE(w.ci->webhooks()->receive(started.first, started.second));
  auto late = w.ci->webhooks()->receive(queued.first, queued.second);
  ASSERT_TRUE(late);
  ASSERT_EQ(late->jobs.size(), 1u);
  EXPECT_EQ(late->jobs[0].phase, CiPhase::running);
  auto taken = w.ci->taken({"mf-1", "", false}, soon());
  ASSERT_TRUE(taken && *taken);
  EXPECT_EQ((*taken)->id, "1");
}

TEST(GitHub, ANotificationOfAJobThatIsGoneDoesNotLast) {
  World w(false);
  w.queue(1);
  auto [headers, body] = w.notice(1, "queued", "a");
  w.server.jobs.clear();
  auto news = w.ci->webhooks()->receive(headers, body);
  ASSERT_TRUE(news);
  EXPECT_EQ(news->jobs.size(), 1u);
  EXPECT_TRUE(pending(*w.ci).empty());
}

TEST(GitHub, NotificationsOfOthersChangeNothing) {
  World w(false);
  w.queue(1).repository = "stranger/site";
  w.queue(2, {"windows"});
  for (int id : {1, 2}) {
    auto [headers, body] = w.notice(id, "queued", "d" + std::to_string(id));
    auto news = w.ci->webhooks()->receive(headers, body);
    ASSERT_TRUE(news) << news.error().text();
    EXPECT_TRUE(news->jobs.empty());
  }
  w.keys.erase("webhook_secret");
  w.make();
  EXPECT_EQ(w.ci->webhooks(), nullptr);
}

TEST(GitHub, FailedDeliveriesAreAskedForAgainOnce) {
  World w(true);
  auto now = w.server.now();
  w.server.deliveries = {{9, "g1", "workflow_job", 200, now},
                         {8, "g2", "workflow_job", 503, now - seconds(60)},
                         {7, "g3", "workflow_job", 502, now - seconds(70)},
                         {6, "g3", "workflow_job", 502, now - seconds(80)},
                         {5, "g1", "workflow_job", 500, now - seconds(90)},
                         {4, "g4", "push", 500, now - seconds(90)},
                         {3, "g5", "workflow_job", 500, now - std::chrono::hours(2)}};
  EXPECT_TRUE(w.ci->observe(soon()));
  EXPECT_EQ(w.server.redelivered, (std::set<std::int64_t>{8, 7}));
  w.server.redelivered.clear();
  EXPECT_TRUE(w.ci->observe(soon()));
  EXPECT_TRUE(w.server.redelivered.empty());  // not more than once a minute
}

TEST(GitHub, MissingRightsAreNamed) {
  HttpServerForTests server([](const Asked&) {
    Answer a{403, R"({"message":"Resource not accessible by integration"})"};
    a.headers["X-Accepted-GitHub-Permissions"] = "actions=read";
    return std::optional(a);
  });
  TestSecrets secrets;
  SystemClock clock;
  Connectors connectors(secrets, clock);
  auto ci = connectors.make({{"url", server.url() + "/acme/site"}, {"token", "pat"}, {"labels", "a"}});
  ASSERT_TRUE(ci) << ci.error().text();
  auto refused = (*ci)->observe(soon());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::denied);
  EXPECT_THAT(refused.error().text(), AllOf(HasSubstr("Resource not accessible"), HasSubstr("It needs: actions=read")));
}

TEST(GitHub, TheTokenNeverGoesToAnotherHost) {
  bool came = false;
  HttpServerForTests elsewhere([&](const Asked&) { return came = true, std::optional(Answer{}); });
  HttpServerForTests server([&](const Asked& a) {
    Answer answer{a.path.ends_with("/runs") ? 200 : 301, R"({"total_count":9,"workflow_runs":[{"id":1}]})"};
    answer.headers["Location"] = elsewhere.url() + "/api/v3/x";
    answer.headers["Link"] = "<" + elsewhere.url() + "/api/v3/x?page=2>; rel=\"next\"";
    return std::optional(answer);
  });
  TestSecrets secrets;
  SystemClock clock;
  Connectors connectors(secrets, clock);
  auto ci = connectors.make({{"url", server.url() + "/acme/site"}, {"token", "pat"}, {"labels", "a"}});
  ASSERT_TRUE(ci);
  EXPECT_FALSE((*ci)->observe(soon()));
  EXPECT_FALSE(came);
}

TEST(Settings, SayWhichKeyIsWrong) {
  std::map<std::string, std::string> good{{"organization", "acme"}, {"token", "t"}, {"labels", "a"}};
  ASSERT_TRUE(settings_from(good));
  auto where = [&](std::map<std::string, std::string> change) {
    for (const auto& [k, v] : good) change.try_emplace(k, v);
    auto read = settings_from(change);
    return read ? "" : read.error().where;
  };
  EXPECT_EQ(where({{"repository", "acme/site"}}), "url");
  EXPECT_EQ(where({{"organization", ""}}), "url");
  EXPECT_EQ(where({{"organization", "a b"}}), "organization");
  EXPECT_EQ(where({{"organization", ""}, {"url", "http://github.com/acme"}}), "url");
  EXPECT_EQ(where({{"token", ""}}), "token");
  EXPECT_EQ(where({{"app_id", "1"}}), "token");
  EXPECT_EQ(where({{"app_id", "1"}, {"token", ""}}), "app_id");
  EXPECT_EQ(where({{"labels", ""}}), "labels");
  EXPECT_EQ(where({{"repositories", "other/site"}}), "repositories");
  EXPECT_EQ(where({{"organization", ""}, {"repository", "acme/site"}, {"runner_group", "x"}}), "runner_group");
  EXPECT_EQ(where({{"installation_id", "x"}}), "installation_id");
}

TEST(AnswerCache, ForgetsWhatWasUsedLongestAgo) {
  AnswerCache cache(3000);
  for (char c = 'a'; c <= 'e'; ++c) {
    cache.put({std::string(1, c), "tag", std::string(500, 'x'), ""});
    cache.find("a");
  }
  EXPECT_LE(cache.bytes(), 3000u);
  EXPECT_TRUE(cache.find("a"));
  EXPECT_FALSE(cache.find("b"));
  EXPECT_TRUE(cache.find("e"));
  cache.put({"a", "", "no tag", ""});
  EXPECT_FALSE(cache.find("a"));
  cache.put({"big", "tag", std::string(5000, 'x'), ""});
  EXPECT_FALSE(cache.find("big"));
}

}  // namespace
}  // namespace mayfly::github::test
