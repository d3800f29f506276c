#pragma once
// What every CI connector must do (ports/ci.h). A connector's own test instantiates this suite with a bench: the
// connector, set up as in production, and a stand-in for the CI's server that behaves as its documentation says.
//
//   INSTANTIATE_TEST_SUITE_P(GitHub, CiContract, testing::Values(CiUnderTest{"github", make_bench}), ci_test_name);
#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "ports/ci.h"

namespace mayfly::testing_support {

// What the server does with the requests of the next calls, until it is told otherwise.
enum class CiServerFault {
  none,
  throttled,           // 429 or the vendor's own way, with Retry-After: 7 or its like
  limit_reached,       // said by the vendor's own headers alone, for some 20 seconds
  server_error,        // 5xx
  hangs,               // takes the request and never answers
  not_json,            // 2xx with a sign-in page
  truncated,           // 2xx with half of the JSON
  empty,               // 2xx with nothing
  credential_expired,  // 401 for the token in use; a new one is given where the vendor has such
  odd,                 // no fault: all that the documentation allows, members in another order, new ones, nulls
};

class CiBench {
 public:
  virtual ~CiBench() = default;
  virtual Ci& ci() = 0;
  // A connector made anew with the same configuration: what a restarted daemon has.
  virtual void restart() = 0;

  // The CI's own side. `id` is what CiJob::id says for it; the bench chooses labels that the pool serves.
  virtual void queue(const std::string& id) = 0;
  virtual void queue_for_others(const std::string& id) = 0;  // labels or demands that the pool does not serve
  virtual bool take(const std::string& runner, const std::string& id) = 0;  // this runner's agent takes it
  virtual void end(const std::string& id, CiOutcome outcome) = 0;
  virtual void vanish(const std::string& id) = 0;
  virtual void fault(CiServerFault fault) = 0;
  virtual std::vector<std::string> registered() = 0;  // names, of all that the server has, but for permanent ones
  virtual void register_stranger(const std::string& name) = 0;  // somebody else's
  virtual int jobs_on_one_page() { return 100; }                // more need a second request
  virtual int requests() = 0;                                   // that the server got so far
  virtual void skew(Duration ahead) = 0;                        // of the server's clock
  virtual void rotate_credential() = 0;  // a new one, known to the server and to our secrets; the old one is no good

  // Optional. An empty body: the connector has no webhooks.
  struct Delivery {
    std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
    std::string body;
  };
  virtual Delivery delivery_of(const std::string& id) = 0;  // signed; says that the job is pending
  // Optional: the statuses that the server was given, as "REPOSITORY COMMIT STATE CONTEXT DESCRIPTION", the state in
  // its own word.
  virtual std::vector<std::string> statuses() { return {}; }
  virtual CommitStatus status_of_commit() { return {"acme/site", std::string(40, 'c'), "mayfly/tool", {}, "building"}; }
  virtual std::string word_of(CommitState) { return {}; }
  virtual std::string id_of(int n) { return std::to_string(1000 + n); }
};

struct CiUnderTest {
  std::string name;
  std::function<std::unique_ptr<CiBench>()> make;
  bool over_http = true;  // false: the CI is values in this process, and nothing hangs
  friend std::ostream& operator<<(std::ostream& out, const CiUnderTest& c) { return out << c.name; }
};
inline std::string ci_test_name(const testing::TestParamInfo<CiUnderTest>& info) { return info.param.name; }

class CiContract : public testing::TestWithParam<CiUnderTest> {
 protected:
  void SetUp() override { bench_ = GetParam().make(); }
  Ci& ci() { return bench_->ci(); }
  CiBench& bench() { return *bench_; }
  std::string id(int n) { return bench_->id_of(n); }
  static Deadline soon() { return after(seconds(10)); }
  static constexpr const char* name = "mf-abc123-general-1";

  // The pending jobs' ids; observes until the sight is whole, for a throttled connector may need more than one look.
  std::multiset<std::string> pending() {
    std::multiset<std::string> out;
    auto sight = ci().observe(soon());
    EXPECT_TRUE(sight) << sight.error().text();
    if (!sight) return out;
    EXPECT_TRUE(sight->whole);
    for (const auto& j : sight->jobs)
      if (j.phase == CiPhase::pending) out.insert(j.id);
    return out;
  }
  CiRegistration mint(const std::string& as, const std::string& job) {
    auto made = ci().mint(as, CiJob{.id = job}, soon());
    EXPECT_TRUE(made) << made.error().text();
    return made ? made->registration : CiRegistration{as};
  }
  bool knows(const std::string& registration) {
    auto all = bench_->registered();
    return std::find(all.begin(), all.end(), registration) != all.end();
  }

  std::unique_ptr<CiBench> bench_;
};

TEST_P(CiContract, SeesWhatIsPendingAndNothingOfOthers) {
  bench().queue(id(1));
  bench().queue(id(2));
  bench().queue_for_others(id(3));
  EXPECT_EQ(pending(), (std::multiset<std::string>{id(1), id(2)}));
  auto sight = ci().observe(soon());
  ASSERT_TRUE(sight);
  for (const auto& j : sight->jobs) {
    EXPECT_FALSE(j.url.empty()) << j.id;
    EXPECT_NE(j.queued_at, Time{}) << j.id;
  }
  EXPECT_GT(sight->again, Duration(0));
}

TEST_P(CiContract, SeesEveryPage) {
  std::multiset<std::string> all;
  for (int i = 0; i < bench().jobs_on_one_page() * 2 + 3; ++i) {
    bench().queue(id(i));
    all.insert(id(i));
  }
  EXPECT_EQ(pending(), all);
}

TEST_P(CiContract, AnEmptyQueueIsASightToo) { EXPECT_TRUE(pending().empty()); }

TEST_P(CiContract, AJobThatWasTakenOrVanishedIsNotPending) {
  for (int i = 1; i <= 3; ++i) bench().queue(id(i));
  mint(name, id(1));
  ASSERT_TRUE(bench().take(name, id(1)));
  bench().vanish(id(2));
  EXPECT_EQ(pending(), std::multiset<std::string>{id(3)});
}

TEST_P(CiContract, KnowsWhatARunnerTookWhateverItWasMadeFor) {
  bench().queue(id(1));
  bench().queue(id(2));
  auto mine = mint(name, id(1));
  EXPECT_TRUE(knows(name));
  auto none = ci().taken(mine, soon());
  ASSERT_TRUE(none) << none.error().text();
  EXPECT_FALSE(*none);
  ASSERT_TRUE(bench().take(name, id(2)));
  ASSERT_TRUE(ci().observe(soon()));
  auto job = ci().taken(mine, soon());
  ASSERT_TRUE(job && *job);
  EXPECT_EQ((*job)->id, id(2));
  EXPECT_EQ((*job)->phase, CiPhase::running);
}

TEST_P(CiContract, KnowsHowItEnded) {
  int n = 0;
  for (auto outcome : {CiOutcome::succeeded, CiOutcome::failed, CiOutcome::cancelled}) {
    auto job = id(++n);
    auto runner = std::string("mf-abc123-general-") + std::to_string(n);
    bench().queue(job);
    auto mine = mint(runner, job);
    ASSERT_TRUE(bench().take(runner, job));
    bench().end(job, outcome);
    ASSERT_TRUE(ci().observe(soon()));
    bench().restart();  // what a killed daemon knew is not needed
    ASSERT_TRUE(ci().observe(soon()));
    auto seen = ci().taken(mine, soon());
    ASSERT_TRUE(seen && *seen) << n;
    EXPECT_EQ((*seen)->phase, CiPhase::ended);
    EXPECT_EQ((*seen)->outcome, outcome);
    EXPECT_FALSE((*seen)->result.empty());
    EXPECT_TRUE(ci().forget(mine, soon()));
  }
  EXPECT_TRUE(bench().registered().empty());
}

TEST_P(CiContract, ForgetsByNameAloneAndTwice) {
  bench().queue(id(1));
  mint(name, id(1));
  bench().restart();
  EXPECT_TRUE(ci().forget({name, "", false}, soon()));
  EXPECT_FALSE(knows(name));
  EXPECT_TRUE(ci().forget({name, "", false}, soon()));
  EXPECT_TRUE(ci().forget({"mf-abc123-never-1", "", false}, soon()));
}

TEST_P(CiContract, FindsGhostsByPrefixAndNobodyElses) {
  bench().queue(id(1));
  mint("mf-abc123-general-1", id(1));
  mint("mf-abc123-general-2", id(1));
  bench().register_stranger("mf-other0-general-1");
  bench().register_stranger("somebody");
  bench().restart();
  auto ghosts = ci().registrations("mf-abc123-", soon());
  ASSERT_TRUE(ghosts) << ghosts.error().text();
  std::multiset<std::string> names;
  for (const auto& g : *ghosts) {
    names.insert(g.name);
    EXPECT_TRUE(ci().forget(g, soon()));
  }
  EXPECT_EQ(names, (std::multiset<std::string>{"mf-abc123-general-1", "mf-abc123-general-2"}));
  EXPECT_EQ(bench().registered().size(), 2u);
}

TEST_P(CiContract, ACredentialIsNewForEachBuilderAndItsSecretsAreLongEnoughToMask) {
  bench().queue(id(1));
  auto a = ci().mint("mf-abc123-general-1", CiJob{.id = id(1)}, soon());
  auto b = ci().mint("mf-abc123-general-2", CiJob{.id = id(1)}, soon());
  ASSERT_TRUE(a && b);
  EXPECT_FALSE(a->secrets.empty());
  EXPECT_NE(a->secrets, b->secrets);
  for (const auto& [variable, value] : a->secrets) {
    EXPECT_GE(value.size(), 4u) << variable;
    auto runner = ci().runner();
    EXPECT_EQ(runner.script.find(value), std::string::npos) << variable;
    for (const auto& [k, v] : runner.env) EXPECT_EQ(v.find(value), std::string::npos) << variable;
  }
}

TEST_P(CiContract, SaysWhenItIsThrottled) {
  bench().queue(id(1));
  bench().fault(CiServerFault::throttled);
  auto sight = ci().observe(soon());
  ASSERT_TRUE(sight) << sight.error().text();
  EXPECT_TRUE(sight->throttled);
  EXPECT_FALSE(sight->whole);
  EXPECT_GE(sight->again, seconds(6));
  EXPECT_LE(sight->again, seconds(120));
  bench().fault(CiServerFault::none);
}

TEST_P(CiContract, HeedsTheVendorsOwnHeadersToo) {
  bench().queue(id(1));
  EXPECT_EQ(pending().size(), 1u);
  bench().fault(CiServerFault::limit_reached);
  auto sight = ci().observe(soon());
  ASSERT_TRUE(sight) << sight.error().text();
  EXPECT_GE(sight->again, seconds(6));
  EXPECT_LE(sight->again, seconds(120));
  bench().fault(CiServerFault::none);
}

TEST_P(CiContract, AServerThatAskedForNoRequestsGetsNone) {
  if (!GetParam().over_http) GTEST_SKIP() << "this CI gets no requests";
  bench().queue(id(1));
  EXPECT_EQ(pending().size(), 1u);
  bench().fault(CiServerFault::throttled);
  ASSERT_TRUE(ci().observe(soon()));
  bench().fault(CiServerFault::none);
  auto before = bench().requests();
  auto sight = ci().observe(soon());
  ASSERT_TRUE(sight) << sight.error().text();
  EXPECT_TRUE(sight->throttled);
  EXPECT_FALSE(ci().mint(name, CiJob{.id = id(1)}, soon()));
  EXPECT_FALSE(ci().registrations("mf-", soon()));
  EXPECT_EQ(bench().requests(), before);
  EXPECT_TRUE(bench().registered().empty());
}

TEST_P(CiContract, AFaultIsAnErrorAndNeverAnEmptyQueue) {
  bench().queue(id(1));
  for (auto fault :
       {CiServerFault::server_error, CiServerFault::not_json, CiServerFault::truncated, CiServerFault::empty}) {
    bench().fault(fault);
    auto sight = ci().observe(soon());
    EXPECT_TRUE(!sight || !sight->whole) << static_cast<int>(fault);
    EXPECT_FALSE(ci().mint("mf-abc123-general-9", CiJob{.id = id(1)}, soon())) << static_cast<int>(fault);
    bench().fault(CiServerFault::none);
    EXPECT_EQ(pending(), std::multiset<std::string>{id(1)});
  }
}

// Or a builder that has a job would be taken for idle, and a registration that is there for gone.
TEST_P(CiContract, AFaultIsNoAnswerToAnyOtherQuestionEither) {
  bench().queue(id(1));
  auto mine = mint(name, id(1));
  ASSERT_TRUE(bench().take(name, id(1)));
  for (auto fault :
       {CiServerFault::server_error, CiServerFault::not_json, CiServerFault::truncated, CiServerFault::empty}) {
    bench().restart();
    bench().fault(fault);
    EXPECT_FALSE(ci().taken(mine, soon())) << static_cast<int>(fault);
    EXPECT_FALSE(ci().taken({name, "", false}, soon())) << static_cast<int>(fault);
    EXPECT_FALSE(ci().registrations("mf-", soon())) << static_cast<int>(fault);
    EXPECT_FALSE(ci().forget({"mf-abc123-general-8", "", false}, soon())) << static_cast<int>(fault);
    bench().fault(CiServerFault::none);
  }
  EXPECT_TRUE(knows(name));
}

TEST_P(CiContract, SaysWhetherAnAgentIsConnected) {
  if (!GetParam().over_http) GTEST_SKIP() << "agents of this CI exist only as values";
  bench().queue(id(1));
  mint(name, id(1));
  auto online = [&] {
    auto all = ci().registrations(name, soon());
    return all && all->size() == 1 ? std::optional(all->front().online) : std::nullopt;
  };
  EXPECT_EQ(online(), false);
  ASSERT_TRUE(bench().take(name, id(1)));
  EXPECT_EQ(online(), true);
}

TEST_P(CiContract, WhatAFailedMintLeftIsForgottenByItsName) {
  bench().queue(id(1));
  int n = 0;
  for (auto fault : {CiServerFault::server_error, CiServerFault::truncated, CiServerFault::empty}) {
    auto as = std::string("mf-abc123-general-") + std::to_string(++n);
    bench().fault(fault);
    EXPECT_FALSE(ci().mint(as, CiJob{.id = id(1)}, soon())) << n;
    bench().fault(CiServerFault::none);
    auto gone = ci().forget({as, "", false}, soon());
    EXPECT_TRUE(gone) << gone.error().text();
  }
  EXPECT_TRUE(bench().registered().empty());
}

TEST_P(CiContract, KeepsItsDeadline) {
  bench().queue(id(1));
  auto mine = mint(name, id(1));
  bench().fault(CiServerFault::hangs);
  auto begin = std::chrono::steady_clock::now();
  auto shortly = [] { return after(milliseconds(300)); };
  auto sight = ci().observe(shortly());
  EXPECT_TRUE(!sight || !sight->whole);
  EXPECT_FALSE(ci().taken({name, "", false}, shortly()));
  EXPECT_FALSE(ci().mint("mf-abc123-general-2", CiJob{.id = id(1)}, shortly()));
  EXPECT_FALSE(ci().forget(mine, shortly()));
  EXPECT_FALSE(ci().registrations("mf-", shortly()));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(60));  // and not until the server hangs up
  bench().fault(CiServerFault::none);
}

TEST_P(CiContract, WhatHangsHoldsUpNoNotification) {
  if (!ci().webhooks()) GTEST_SKIP() << "this CI has no webhooks that say that a job waits";
  if (!GetParam().over_http) GTEST_SKIP() << "nothing hangs here";
  bench().queue(id(1));
  auto delivery = bench().delivery_of(id(1));
  auto asked = bench().requests();
  bench().fault(CiServerFault::hangs);
  std::atomic<bool> over = false;
  std::thread looking([&] {
    (void)ci().observe(after(seconds(3)));
    over = true;
  });
  std::thread acting([&] { (void)ci().mint(name, CiJob{.id = id(1)}, after(seconds(3))); });
  while (bench().requests() == asked && !over) std::this_thread::yield();
  auto news = ci().webhooks()->receive(delivery.headers, delivery.body);
  EXPECT_TRUE(news) << news.error().text();
  EXPECT_FALSE(over) << "the server was to hang all the while";
  bench().fault(CiServerFault::none);
  looking.join();
  acting.join();
}

TEST_P(CiContract, UnderstandsAllThatTheDocumentationAllows) {
  bench().fault(CiServerFault::odd);
  bench().queue(id(1));
  bench().queue(id(2));
  EXPECT_EQ(pending(), (std::multiset<std::string>{id(1), id(2)}));
  auto mine = mint(name, id(1));
  auto all = ci().registrations("mf-abc123-", soon());
  ASSERT_TRUE(all) << all.error().text();
  EXPECT_EQ(all->size(), 1u);
  ASSERT_TRUE(bench().take(name, id(1)));
  EXPECT_EQ(pending(), std::multiset<std::string>{id(2)});
  auto running = ci().taken(mine, soon());
  ASSERT_TRUE(running && *running);
  EXPECT_EQ((*running)->phase, CiPhase::running);
  bench().end(id(1), CiOutcome::failed);
  ASSERT_TRUE(ci().observe(soon()));
  auto ended = ci().taken(mine, soon());
  ASSERT_TRUE(ended && *ended);
  EXPECT_EQ((*ended)->outcome, CiOutcome::failed);
  EXPECT_TRUE(ci().forget(mine, soon()));
  EXPECT_TRUE(bench().registered().empty());
}

TEST_P(CiContract, ClocksMayDiffer) {
  for (auto ahead : {std::chrono::hours(3), std::chrono::hours(-3)}) {
    bench().skew(ahead);
    bench().restart();
    bench().queue(id(static_cast<int>(ahead.count()) + 10));
    EXPECT_EQ(pending().size(), 1u);
    auto mine = mint(name, id(static_cast<int>(ahead.count()) + 10));
    EXPECT_TRUE(ci().forget(mine, soon()));
    bench().vanish(id(static_cast<int>(ahead.count()) + 10));
    bench().fault(CiServerFault::throttled);
    auto sight = ci().observe(soon());
    ASSERT_TRUE(sight) << sight.error().text();
    EXPECT_GE(sight->again, seconds(6));
    EXPECT_LE(sight->again, seconds(120));
    bench().fault(CiServerFault::none);
  }
}

TEST_P(CiContract, ARotatedCredentialNeedsNoRestart) {
  bench().queue(id(1));
  EXPECT_EQ(pending().size(), 1u);
  bench().rotate_credential();
  EXPECT_EQ(pending().size(), 1u);
  auto mine = mint(name, id(1));
  bench().rotate_credential();
  EXPECT_TRUE(ci().forget(mine, soon()));
}

TEST_P(CiContract, AJobThatVanishesUnderItsRunnerIsNoSuccess) {
  bench().queue(id(1));
  auto mine = mint(name, id(1));
  ASSERT_TRUE(bench().take(name, id(1)));
  ASSERT_TRUE(ci().observe(soon()));
  bench().vanish(id(1));
  EXPECT_TRUE(pending().empty());
  auto seen = ci().taken(mine, soon());
  if (seen && *seen) {
    EXPECT_NE((*seen)->outcome, CiOutcome::succeeded);
  }
  auto gone = ci().forget(mine, soon());
  EXPECT_TRUE(gone || gone.error().code == ErrorCode::conflict) << gone.error().text();
}

TEST_P(CiContract, FindsAGhostAmongMoreThanAPageOfOthers) {
  for (int i = 0; i < 120; ++i) bench().register_stranger("somebody-" + std::to_string(i));
  bench().queue(id(1));
  mint(name, id(1));
  bench().restart();
  auto ghosts = ci().registrations("mf-abc123-", soon());
  ASSERT_TRUE(ghosts) << ghosts.error().text();
  ASSERT_EQ(ghosts->size(), 1u);
  EXPECT_EQ(ghosts->at(0).name, name);
  EXPECT_TRUE(ci().forget({name, "", false}, soon()));
  EXPECT_EQ(bench().registered().size(), 120u);
}

TEST_P(CiContract, GetsANewCredentialOfItsOwnWhenTheOldOneHasExpired) {
  bench().queue(id(1));
  EXPECT_EQ(pending().size(), 1u);
  bench().fault(CiServerFault::credential_expired);
  auto sight = ci().observe(soon());
  // Where the vendor's credentials are renewed by the connector it sees the queue; else it says what to do.
  if (!sight) {
    EXPECT_EQ(sight.error().code, ErrorCode::denied);
    EXPECT_FALSE(sight.error().next.empty());
  }
  bench().fault(CiServerFault::none);
  EXPECT_EQ(pending().size(), 1u);
}

TEST_P(CiContract, TellsOfAJobByWebhookAndChecksWhoSaysIt) {
  bench().queue(id(1));
  auto delivery = bench().delivery_of(id(1));
  if (!ci().webhooks()) GTEST_SKIP() << "this CI has no webhooks that say that a job waits";
  auto news = ci().webhooks()->receive(delivery.headers, delivery.body);
  ASSERT_TRUE(news) << news.error().text();
  bool told = std::any_of(news->jobs.begin(), news->jobs.end(), [&](const CiJob& j) { return j.id == id(1); });
  EXPECT_TRUE(told || news->look);

  auto again = ci().webhooks()->receive(delivery.headers, delivery.body);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::conflict);

  auto forged = bench().delivery_of(id(1));
  forged.body += " ";
  forged.headers.clear();
  auto refused = ci().webhooks()->receive(forged.headers, forged.body);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::denied);
}

TEST_P(CiContract, ALostNotificationCostsNoJobAndAFalseOneMakesNone) {
  if (!ci().webhooks()) GTEST_SKIP() << "this CI has no webhooks that say that a job waits";
  for (int i = 1; i <= 3; ++i) bench().queue(id(i));
  for (int i : {1, 3}) {  // that of the second never comes
    auto delivery = bench().delivery_of(id(i));
    EXPECT_TRUE(ci().webhooks()->receive(delivery.headers, delivery.body));
  }
  bench().vanish(id(3));
  EXPECT_EQ(pending(), (std::multiset<std::string>{id(1), id(2)}));
}

TEST_P(CiContract, ACommitsStatusIsSet) {
  if (!ci().commit_statuses()) GTEST_SKIP() << "this CI has no commits";
  auto s = bench().status_of_commit();
  std::vector<std::string> want;
  for (auto state : {CommitState::pending, CommitState::failed, CommitState::error, CommitState::succeeded}) {
    s.state = state;
    auto set = ci().commit_statuses()->set_status(s, soon());
    ASSERT_TRUE(set) << set.error().text();
    want.push_back(s.repository + " " + s.commit + " " + bench().word_of(state) + " " + s.context + " building");
  }
  EXPECT_EQ(bench().statuses(), want);
}

TEST_P(CiContract, AStatusThatCannotBeSetSaysWhetherTryingAgainHelps) {
  if (!ci().commit_statuses()) GTEST_SKIP() << "this CI has no commits";
  auto s = bench().status_of_commit();
  auto code = [&] {
    auto set = ci().commit_statuses()->set_status(s, soon());
    return set ? std::string("set") : std::string(to_string(set.error().code));
  };
  bench().fault(CiServerFault::server_error);
  EXPECT_EQ(code(), "unavailable");
  bench().fault(CiServerFault::none);
  auto good = s;
  s.repository = "acme/no-such-place";
  EXPECT_EQ(code(), "not_found");
  s = good;
  s.repository = "nonsense";
  EXPECT_EQ(code(), "invalid");
  s = good;
  bench().fault(CiServerFault::credential_expired);
  auto expired = code();
  EXPECT_TRUE(expired == "denied" || expired == "set") << expired << "; where a new one is given, it is taken";
}

TEST_P(CiContract, AnAbandonedCallReturnsAtOnceAndSoDoAllLaterOnes) {
  if (!GetParam().over_http) GTEST_SKIP() << "nothing hangs in this process";
  bench().fault(CiServerFault::hangs);
  auto begun = std::chrono::steady_clock::now();
  std::thread other([&] {
    while (bench().requests() == 0) std::this_thread::yield();
    ci().abandon();
  });
  auto sight = ci().observe(after(std::chrono::minutes(10)));
  other.join();
  ASSERT_FALSE(sight);
  EXPECT_EQ(sight.error().code, ErrorCode::unavailable) << sight.error().text();
  auto made = ci().mint(name, CiJob{.id = id(1)}, after(std::chrono::minutes(10)));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::unavailable) << made.error().text();
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::minutes(5)) << "it waited for the deadline";
  bench().fault(CiServerFault::none);
}

TEST_P(CiContract, CancelsAtTheCi) {
  if (!ci().cancellation()) GTEST_SKIP() << "this CI's jobs cannot be cancelled one by one";
  bench().queue(id(1));
  ASSERT_EQ(pending().size(), 1u);
  EXPECT_TRUE(ci().cancellation()->cancel(id(1), soon()));
  EXPECT_TRUE(pending().empty());
  auto over = ci().cancellation()->cancel(id(1), soon());
  EXPECT_TRUE(over || over.error().code == ErrorCode::not_found);
}

}  // namespace mayfly::testing_support
