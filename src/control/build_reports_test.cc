// What is told of builds: to an address, and to the host of the commit.
#include "control/build_reports.h"

#include <boost/json.hpp>

#include "control/builds_world_test.h"

namespace mayfly {
namespace {

class BuildReportsTest : public BuildsTest {
 protected:
  BuildReportsTest() { world.config.report = {"https://ci.example/hook", "known", seconds(1)}; }
  std::vector<std::string> told() {
    std::vector<std::string> out;
    for (const auto& r : reports) {
      auto body = boost::json::parse(r.body).as_object();
      out.emplace_back(body["status"].as_string());
    }
    return out;
  }
};
using Words = std::vector<std::string>;

TEST_F(BuildReportsTest, EachStatusIsToldOnceInItsOrder) {
  tool().approvals = 1;
  start();
  auto id = request();
  run();
  EXPECT_EQ(told(), (Words{"building", "testing", "needs-approval"}));
  ASSERT_EQ(approve(id, "bob"), "");
  EXPECT_EQ(told(), (Words{"building", "testing", "needs-approval", "releasing", "released"}));
  auto last = boost::json::parse(reports.back().body).as_object();
  EXPECT_EQ(last["commit"], boost::json::value(build(id).commit));
  EXPECT_EQ(last["version"], "1.0.0");
  EXPECT_TRUE(last["over"].as_bool());
  EXPECT_EQ(build(id).report, "") << "nothing is owed";
  start();
  run(std::chrono::hours(1));
  EXPECT_EQ(reports.size(), 5u) << "nor said again by the next daemon";
}

TEST_F(BuildReportsTest, AFailureIsToldWithItsReason) {
  works.broken = Error{ErrorCode::invalid, "RUN false", "Dockerfile:2", ""};
  start();
  request();
  run();
  EXPECT_EQ(told(), (Words{"building", "failed"}));
  EXPECT_NE(reports.back().body.find("Dockerfile:2"), std::string::npos) << reports.back().body;
}

TEST_F(BuildReportsTest, WhoeverIsAwayIsToldLaterAndTheSameDeliveryAgain) {
  answer = fail(ErrorCode::unavailable, "answered 500");
  start();
  auto id = request();
  run();
  ASSERT_EQ(state(id), BuildState::released) << "no build waits for it";
  reports.clear();
  run(std::chrono::minutes(2));
  EXPECT_GT(reports.size(), 3u);
  EXPECT_LT(reports.size(), 10u);
  for (const auto& r : reports) EXPECT_EQ(r.delivery, "build-1-released");
  answer = {};
  run(std::chrono::minutes(5));
  auto after = reports.size();
  run(std::chrono::hours(1));
  EXPECT_EQ(reports.size(), after);
  EXPECT_EQ(build(id).report, "");
}

TEST_F(BuildReportsTest, ItIsGivenUpAfterTenTriesAndAtOnceWhereTryingIsOfNoUse) {
  answer = fail(ErrorCode::unavailable, "answered 500");
  start();
  auto id = request();
  run(std::chrono::hours(2));
  EXPECT_EQ(
      std::count_if(reports.begin(), reports.end(), [](const auto& r) { return r.delivery == "build-1-released"; }),
      10);
  EXPECT_EQ(build(id).report, "");
  answer = fail(ErrorCode::denied, "answered 401");
  reports.clear();
  commit("better", "two");
  id = request("better");
  run(std::chrono::hours(2));
  EXPECT_EQ(std::count_if(reports.begin(), reports.end(), [](const auto& r) { return r.delivery == "build-2-passed"; }),
            1);
  auto entries = world.store.ledger(1, 1000, "build/2").value();
  EXPECT_TRUE(
      std::any_of(entries.begin(), entries.end(), [](const auto& e) { return e.kind == "build.report-failed"; }));
}

TEST_F(BuildReportsTest, TheNextDaemonTellsWhatTheLastOneCouldNot) {
  heard = false;
  start();
  auto id = request();
  run();
  ASSERT_EQ(state(id), BuildState::released);
  ASSERT_EQ(build(id).report, "released");
  EXPECT_EQ(told(), Words{"building"}) << "one at a time for each build";
  reports.clear();
  heard = true;
  start();
  run();
  EXPECT_EQ(told(), Words{"released"}) << "what was overtaken is not told any more";
}

class CommitStatusTest : public BuildsTest {
 protected:
  CommitStatusTest() { tool().commit_status = {"actions", "acme/images"}; }
  std::vector<CommitState> states() {
    std::vector<CommitState> out;
    for (const auto& [pool, status] : shown) out.push_back(status.state);
    return out;
  }
  bool recorded(const std::string& kind) {
    auto entries = world.store.ledger(1, 1000, "build/1").value();
    return std::any_of(entries.begin(), entries.end(), [&](const auto& e) { return e.kind == kind; });
  }
};
using States = std::vector<CommitState>;

TEST_F(CommitStatusTest, TheCommitShowsHowItsBuildStands) {
  start();
  auto id = request();
  run();
  ASSERT_EQ(state(id), BuildState::released);
  EXPECT_EQ(states(),
            (States{CommitState::pending, CommitState::pending, CommitState::pending, CommitState::succeeded}));
  for (const auto& [pool, status] : shown) {
    EXPECT_EQ(pool, "actions");
    EXPECT_EQ(status.repository, "acme/images");
    EXPECT_EQ(status.commit, build(id).commit);
    EXPECT_EQ(status.context, "mayfly/tool");
  }
  EXPECT_EQ(shown.back().second.description, "tool 1.0.0 is released");
  EXPECT_EQ(build(id).commit_status, "") << "nothing is owed";
  EXPECT_TRUE(recorded("build.status-set"));
  EXPECT_TRUE(reports.empty()) << "who is told by `report:` is another matter";
}

TEST_F(CommitStatusTest, AFailureIsShownInOneShortLine) {
  works.broken = Error{ErrorCode::invalid, std::string(200, 'x') + "\nDockerfile:2", "", ""};
  start();
  request();
  run();
  EXPECT_EQ(states(), (States{CommitState::pending, CommitState::failed}));
  EXPECT_EQ(shown.back().second.description, std::string(137, 'x') + "…");
}

TEST_F(CommitStatusTest, ALimitedHostIsAskedAgainAndOneThatRefusesIsNot) {
  answer = fail(ErrorCode::exhausted, "slow down");
  start();
  auto id = request();
  run();
  ASSERT_EQ(state(id), BuildState::released) << "no build waits for it";
  ASSERT_EQ(build(id).commit_status, "released");
  shown.clear();
  start();
  answer = fail(ErrorCode::denied, "not allowed");
  run(std::chrono::minutes(10));
  EXPECT_EQ(states(), States{CommitState::succeeded}) << "by the next daemon, once";
  EXPECT_EQ(build(id).commit_status, "");
  EXPECT_TRUE(recorded("build.status-failed"));
}

TEST_F(BuildReportsTest, WithoutAnAddressNobodyIsTold) {
  world.config.report = {};
  start();
  auto id = request();
  run();
  EXPECT_EQ(state(id), BuildState::released);
  EXPECT_TRUE(reports.empty());
  EXPECT_TRUE(shown.empty());
}

}  // namespace
}  // namespace mayfly
