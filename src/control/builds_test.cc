#include "control/builds.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include <fstream>

#include "control/core_world_test.h"

namespace mayfly {
namespace {

// A repository and a toolbox that are only values.
class FakeWorks final : public ImageWorks {
 public:
  std::map<std::string, RecipeAt> refs_now;
  std::optional<Error> broken;  // of the next build
  std::vector<BuildFinding> findings;
  int builds = 0, offers = 0;

  Result<RecipeAt> resolve(const ImageSpec& image, const std::string& ref, Deadline) override {
    for (const auto& [name, recipe] : refs_now)
      if (name == ref || recipe.commit == ref) {
        auto found = recipe;
        found.release = name == image.branch;
        return found;
      }
    return fail(ErrorCode::not_found, "there is no ref " + ref);
  }
  Result<std::vector<RefAt>> refs(const ImageSpec& image, Deadline) override {
    std::vector<RefAt> out;
    for (const auto& [name, recipe] : refs_now) out.push_back({name, recipe.content, name == image.branch});
    return out;
  }
  Result<std::string> messages(const ImageSpec&, const std::string& since, const std::string& until,
                               Deadline) override {
    asked_messages.emplace_back(since, until);
    return said_between;
  }
  std::vector<std::pair<std::string, std::string>> asked_messages;
  std::string said_between;
  Result<void> pack(const ImageSpec&, const std::string&, const std::string& tar, Deadline) override {
    std::ofstream(tar) << "a tar";
    return {};
  }
  Result<BuiltImage> build(const BuildOrder& order, Deadline) override {
    ++builds;
    if (auto f = std::exchange(meanwhile, nullptr)) f();
    if (auto e = std::exchange(broken, std::nullopt)) return Unexpected(*e);
    return BuiltImage{"sha256:of-" + order.recipe.content + salt,
                      order.image.name + ":build-" + std::to_string(order.id)};
  }
  void stop(BuildId id) override { stopped.push_back(id); }
  void stop_all() override {}
  Result<void> discard(const DiscardOrder& order, Deadline) override {
    discarded.push_back(order.id);
    if (auto e = std::exchange(broken_discard, std::nullopt)) return Unexpected(*e);
    return {};
  }
  std::function<void()> meanwhile;  // what happens during the next build
  std::vector<BuildId> stopped, discarded;
  std::optional<Error> broken_discard;
  Result<BuildJob> prepare_job(const BuildOrder&, Deadline) override { return BuildJob{"build", "out"}; }
  Result<BuiltImage> take_in(const BuildOrder& order, const std::string&, Deadline d) override {
    return build(order, d);
  }
  Error failure(const BuildOrder&, const std::string&) override {
    return {ErrorCode::invalid, "the step failed", "Dockerfile:3", ""};
  }
  Result<Examination> examine(const BuildOrder& order, std::int64_t, Deadline) override {
    return Examination{findings, "files-of-" + order.recipe.content + files, 100};
  }
  Result<void> offer(const BuildOrder&, const BuiltImage&, Deadline) override { return ++offers, Result<void>(); }
  std::string layers() const override { return ""; }
  std::string salt, files;  // what differs from build to build of the same recipe: bytes, and files that matter
};

class BuildsTest : public ::testing::Test {
 protected:
  BuildsTest() {
    ImageSpec tool;
    tool.name = "tool";
    tool.recipe = "images/tool";
    tool.repository = "somewhere";
    tool.attempts = {"./smoke.sh"};
    world.config.images["tool"] = tool;
    commit("main", "one");
  }
  void start() {
    mailbox.clear();
    builds.reset();
    world.start();
    builds = std::make_unique<Builds>(
        Builds::Parts{world.clock, world.log, world.store, world.secrets, works, world.paths, world.config,
                      world.core(), [this](auto f) { mailbox.push_back(f); }, [this](auto f) { mailbox.push_back(f); },
                      [this](Report report, std::function<void(Result<void>)> done) {
                        reports.push_back(std::move(report));
                        auto outcome = answer;
                        if (heard) mailbox.push_back([done, outcome] { done(outcome); });
                      },
                      [this](const PoolName& pool, CommitStatus status, std::function<void(Result<void>)> done) {
                        shown.emplace_back(pool, std::move(status));
                        mailbox.push_back([done, outcome = answer] { done(outcome); });
                      }});
    ASSERT_TRUE(builds->recover());
  }
  ImageSpec& tool() { return world.config.images["tool"]; }
  void commit(const std::string& ref, const std::string& content, const std::string& author = "Ann <ann@team>") {
    RecipeAt r;
    r.commit = "commit-" + content + std::to_string(++commits);
    r.content = content;
    r.authors = {author};
    r.dockerfile = "Dockerfile";
    works.refs_now[ref] = r;
  }
  // Until nothing happens by itself; with time, what comes within it.
  void run(Duration limit = {}) {
    Time end = world.clock.now() + limit;
    for (int i = 0; i < 1000; ++i) {
      builds->tick();
      world.run(std::chrono::minutes(2));
      auto messages = std::exchange(mailbox, {});
      for (auto& m : messages) m();
      if (!messages.empty()) continue;
      auto wake = builds->wake();
      if (!wake || *wake > end) return;
      world.clock.set(std::max(world.clock.now(), *wake));
    }
    FAIL() << "it never comes to rest";
  }
  BuildId request(const std::string& ref = "", bool again = false) {
    BuildId id = 0;
    builds->request({"tool", ref, BuildTrigger::hand, "ann", again}, [&](Result<ImageBuild> b) { id = b ? b->id : 0; });
    return id;
  }
  ImageBuild build(BuildId id) { return builds->build(id).value(); }
  BuildState state(BuildId id) { return build(id).state; }
  std::string approve(BuildId id, const std::string& who) {
    auto said = std::make_shared<std::string>("nothing");
    builds->approve(id, who, [said](Result<ImageBuild> b) { *said = b ? "" : b.error().what; });
    run();
    return *said;
  }
  std::string latest(const std::string& image) { return world.core().image_status(image)->versions[0].digest; }
  std::size_t versions() { return world.core().image_status("tool")->versions.size(); }

  World world;
  FakeWorks works;
  std::deque<std::function<void()>> mailbox;
  std::unique_ptr<Builds> builds;
  int commits = 0;
  std::vector<Report> reports;
  std::vector<std::pair<PoolName, CommitStatus>> shown;
  Result<void> answer;  // of whoever is told
  bool heard = true;    // false: he never answers
};

TEST_F(BuildsTest, FromTheBranchToAVersionThroughARealJob) {
  std::vector<std::string> scripts;
  world.fake.outcome = [&](const agent::Assign& a) { return scripts.push_back(a.script), FakeOutcome(); };
  start();
  auto id = request();
  run();
  auto b = build(id);
  EXPECT_EQ(b.state, BuildState::released) << b.problem;
  EXPECT_EQ(b.version, "1.0.0");
  EXPECT_EQ(b.ref, "main");
  ASSERT_EQ(scripts.size(), 1u);
  EXPECT_NE(scripts[0].find("./smoke.sh"), std::string::npos);
  EXPECT_EQ(world.core().job(b.try_job)->spec.pool, "try-1");
  EXPECT_EQ(works.offers, 1) << "released from its branch: later builds may use its layers";
  world.core().step();
  EXPECT_EQ(world.core().status().pools.size(), 1u) << "the trial's pool is gone";
}

TEST_F(BuildsTest, AProposedChangeIsTriedAndNeverReleasedNorOffered) {
  commit("better", "two");
  start();
  auto id = request("better");
  run();
  EXPECT_EQ(state(id), BuildState::passed);
  EXPECT_EQ(versions(), 0u);
  EXPECT_EQ(works.offers, 0);
}

TEST_F(BuildsTest, AFailedTrialABadFindingAndABrokenStepFailIt) {
  world.fake.outcome = [](const agent::Assign&) { return FakeOutcome{{JobCause::exited, 3, 0, {}}, {}, {}}; };
  start();
  auto tried = request();
  run();
  EXPECT_EQ(state(tried), BuildState::failed);
  EXPECT_NE(build(tried).problem.find("exit code 3"), std::string::npos) << build(tried).problem;
  commit("main", "two");
  works.findings = {{false, "shell", "none"}, {true, "user", "nobody there"}};
  auto seen = request();
  run();
  EXPECT_EQ(build(seen).problem, "nobody there");
  commit("main", "three");
  works.broken = Error{ErrorCode::invalid, "RUN false", "Dockerfile:2", ""};
  auto broken = request();
  run();
  EXPECT_EQ(state(broken), BuildState::failed);
  EXPECT_EQ(versions(), 0u);
}

TEST_F(BuildsTest, WhatMayPassIsTriedAgainButNotForEver) {
  start();
  works.broken = Error{ErrorCode::unavailable, "the registry does not answer", "", ""};
  auto id = request();
  run();
  EXPECT_EQ(state(id), BuildState::building);
  EXPECT_NE(build(id).problem.find("registry"), std::string::npos);
  run(std::chrono::minutes(5));
  EXPECT_EQ(state(id), BuildState::released) << build(id).problem;
  works.refs_now.erase("main");
  auto gone = request("no-such");
  run(std::chrono::hours(1));
  EXPECT_EQ(state(gone), BuildState::failed);
}

TEST_F(BuildsTest, TheSameRecipeIsBuiltOnce) {
  commit("better", "two");
  start();
  auto proposed = request("better");
  run();
  commit("main", "two");
  auto merged = request();
  run();
  EXPECT_EQ(works.builds, 1);
  EXPECT_EQ(state(merged), BuildState::released);
  EXPECT_EQ(build(merged).same_as, proposed);
  EXPECT_EQ(build(merged).digest, build(proposed).digest);
}

TEST_F(BuildsTest, TwoMergesWithinASecondReleaseTheLater) {
  tool().approvals = 1;
  start();
  auto first = request();
  run();
  commit("main", "two");
  auto second = request();
  run();
  EXPECT_EQ(state(first), BuildState::superseded);
  EXPECT_EQ(state(second), BuildState::waiting);
  EXPECT_EQ(approve(second, "bob"), "");
  EXPECT_EQ(state(second), BuildState::released);
  EXPECT_EQ(versions(), 1u);
}

TEST_F(BuildsTest, ApprovalsComeFromOthersAndGoWithTheRecipe) {
  tool().approvals = 2;
  commit("better", "two", "Carol <carol@team>");
  start();
  auto proposed = request("better");
  run();
  EXPECT_NE(approve(proposed, "carol"), "") << "the author";
  EXPECT_EQ(approve(proposed, "bob"), "");
  EXPECT_NE(approve(proposed, "bob"), "") << "twice";
  commit("main", "two", "Carol <carol@team>");
  auto merged = request();
  run();
  EXPECT_EQ(state(merged), BuildState::waiting);
  EXPECT_EQ(build(merged).approvals.size(), 1u) << "bob saw this very image";
  EXPECT_EQ(approve(merged, "dave"), "");
  EXPECT_EQ(state(merged), BuildState::released);
  auto version = world.core().image_status("tool")->versions[0];
  EXPECT_EQ(version.approved_by, (std::vector<std::string>{"bob", "dave"}));
}

TEST_F(BuildsTest, AChangeVoidsApprovalsEvenOneThatNobodyHasBuiltYet) {
  tool().approvals = 2;
  start();
  auto id = request();
  run();
  EXPECT_EQ(approve(id, "bob"), "");
  commit("main", "two");
  EXPECT_NE(approve(id, "carol"), "");
  EXPECT_EQ(state(id), BuildState::superseded);
  EXPECT_EQ(versions(), 0u);
}

TEST_F(BuildsTest, AWatchedRepositoryIsBuiltWhereItsRecipeChanged) {
  tool().watch = seconds(10);
  commit("refs/pull/1/head", "two");
  commit("elsewhere", "one");  // a branch that does not touch the recipe
  start();
  run(seconds(15));
  auto all = builds->builds("tool", 10).value();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].trigger, BuildTrigger::merge);
  EXPECT_EQ(all[1].state, BuildState::released);
  EXPECT_EQ(all[0].trigger, BuildTrigger::commit);
  EXPECT_EQ(all[0].state, BuildState::passed);
  commit("main", "two");  // merged
  run(seconds(30));
  EXPECT_EQ(builds->builds("tool", 10)->size(), 3u);
  EXPECT_EQ(versions(), 2u);
  EXPECT_EQ(works.builds, 2);
}

TEST_F(BuildsTest, ANightlyRebuildIsReleasedOnlyIfItsFilesChanged) {
  tool().rebuild = "0 3 * * *";
  start();
  auto first = request();
  run();
  works.salt = "-another-log";
  run(std::chrono::hours(24));
  auto all = builds->builds("tool", 10).value();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].trigger, BuildTrigger::schedule);
  EXPECT_EQ(all[0].state, BuildState::unchanged) << all[0].problem;
  works.files = "-a-fixed-library";
  run(std::chrono::hours(24));
  all = builds->builds("tool", 10).value();
  EXPECT_EQ(all[0].state, BuildState::released);
  EXPECT_EQ(state(first), BuildState::released);
  EXPECT_EQ(versions(), 2u);
}

TEST_F(BuildsTest, ImagesThatAreBuiltFromOneAnotherFollowInOrder) {
  auto top = tool();
  top.name = "top";
  world.config.images["top"] = top;
  start();
  works.refs_now["main"].bases = {};
  // Both are asked for at once, the dependent one first.
  BuildId above = 0;
  auto with_base = works.refs_now["main"];
  with_base.bases = {"localhost/mayfly/tool:latest"};
  with_base.content = "above", with_base.commit = "commit-above";
  works.refs_now["upper"] = with_base;
  world.config.images["top"].branch = "upper";
  auto base = request();
  builds->request({"top", "", BuildTrigger::hand, "ann", false}, [&](Result<ImageBuild> b) { above = b->id; });
  run();
  EXPECT_EQ(state(base), BuildState::released);
  EXPECT_EQ(state(above), BuildState::released) << build(above).problem;
  EXPECT_EQ(build(above).bases.at("tool"), latest("tool"));
  // A new base is followed.
  works.salt = "-2", works.files = "-2";
  commit("main", "two");
  request();
  run();
  auto all = builds->builds("top", 10).value();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].trigger, BuildTrigger::base);
  EXPECT_EQ(all[0].state, BuildState::released) << all[0].problem;
  EXPECT_EQ(all[0].bases.at("tool"), latest("tool"));
}

TEST_F(BuildsTest, BuiltInABuilderWhenAPoolIsNamedForIt) {
  tool().builder = "p";
  start();
  auto id = request();
  run();
  auto b = build(id);
  EXPECT_EQ(b.state, BuildState::released) << b.problem;
  EXPECT_EQ(world.core().job(b.build_job)->spec.pool, "p");
  EXPECT_EQ(b.builder_digest, world.core().job(b.build_job)->image_digest);
  commit("main", "two");
  world.fake.outcome = [](const agent::Assign&) { return FakeOutcome{{JobCause::exited, 1, 0, {}}, {}, {}}; };
  auto broken = request();
  run();
  EXPECT_NE(build(broken).problem.find("Dockerfile:3"), std::string::npos) << build(broken).problem;
}

TEST_F(BuildsTest, KilledAtAnyMomentItGoesOnWithOneTrialAndOneVersion) {
  for (int cut = 0; cut < 40; ++cut) {
    commit("main", "cut-" + std::to_string(cut));
    start();
    auto before = versions();
    auto id = request();
    for (int i = 0; i < cut; ++i) {  // so many messages, then the daemon is gone
      builds->tick();
      if (!mailbox.empty()) {
        auto m = std::move(mailbox.front());
        mailbox.pop_front();
        m();
      }
      world.core().step();
      if (i % 3 == 2) world.run(seconds(1));
    }
    start();
    run(std::chrono::minutes(10));
    EXPECT_EQ(state(id), BuildState::released) << cut << ": " << build(id).problem;
    EXPECT_EQ(versions(), before + 1) << cut;
    int trials = 0;
    auto jobs = world.store.jobs({}).value();
    for (const auto& j : jobs) trials += j.spec.pool == "try-" + std::to_string(id);
    EXPECT_EQ(trials, 1) << cut;
  }
}

TEST_F(BuildsTest, ACancelledBuildStopsItsTrial) {
  world.fake.outcome = [](const agent::Assign&) {
    return FakeOutcome{{JobCause::exited, 0, 0, {}}, std::chrono::hours(1), {}};
  };
  start();
  auto id = request();
  for (int i = 0; i < 100 && state(id) != BuildState::trying; ++i) {
    if (!mailbox.empty()) {
      auto m = std::move(mailbox.front());
      mailbox.pop_front();
      m();
    }
    world.core().step();
  }
  ASSERT_EQ(state(id), BuildState::trying);
  builds->cancel(id, "ann", [](Result<ImageBuild>) {});
  run();
  EXPECT_EQ(state(id), BuildState::cancelled);
  EXPECT_EQ(versions(), 0u);
}

TEST_F(BuildsTest, ACancelledBuildOnThisHostIsStopped) {
  start();
  auto id = request();
  builds->cancel(id, "ann", [](Result<ImageBuild>) {});
  EXPECT_TRUE(works.stopped.empty()) << "it had not begun";
  works.meanwhile = [&] { builds->cancel(id, "ann", [](Result<ImageBuild>) {}); };
  id = request();
  run();
  EXPECT_EQ(works.stopped, std::vector<BuildId>{id});
  EXPECT_EQ(state(id), BuildState::cancelled);
  EXPECT_EQ(versions(), 0u);
}

TEST_F(BuildsTest, TheHighestLevelSinceTheLastReleaseCounts) {
  works.refs_now["main"].message = "the first\n\nRelease: major";
  start();
  request();
  run();
  auto before = works.refs_now["main"].commit;
  commit("main", "two");
  works.refs_now["main"].message = "the last of one push";
  works.said_between = "the last of one push\n\n\nthe one before\n\nRelease: minor\n\nanother\n\nRelease: patch\n";
  auto id = request();
  run();
  EXPECT_EQ(build(id).version, "1.1.0");
  ASSERT_EQ(works.asked_messages.size(), 1u);
  EXPECT_EQ(works.asked_messages[0], std::make_pair(before, works.refs_now["main"].commit));
  works.said_between = "";
  works.salt = works.files = "-new";
  auto again = request("", true);
  run();
  EXPECT_EQ(build(again).version, "1.1.1") << "nothing was declared since";
}

TEST_F(BuildsTest, ImagesThatNobodyNeedsAreRemovedAndNeverOneThatRuns) {
  world.config.release.keep = 2;
  world.config.pools["pinned"] = world.config.pools.begin()->second;
  world.config.pools["pinned"].name = "pinned";
  world.config.pools["pinned"].image = "tool@1.0.0";
  start();
  std::vector<BuildId> ids;
  for (const char* content : {"one", "two", "three", "four"}) {
    commit("main", content);
    ids.push_back(request());
    run();
  }
  commit("fix", "three");
  auto same = request("fix");
  run();
  EXPECT_EQ(build(same).same_as, ids[2]);
  commit("main", "five");
  works.findings = {{true, "user", "nobody there"}};
  auto bad = request();
  works.broken_discard = Error{ErrorCode::unavailable, "no space", "", ""};
  run(std::chrono::minutes(30));
  EXPECT_EQ(works.discarded, (std::vector<BuildId>{bad, ids[1]}))
      << "1.0.0 is pinned, the last two are kept, with whoever has the same image";
  EXPECT_NE(build(ids[1]).swept_at, Time{});
  EXPECT_EQ(build(ids[2]).swept_at, Time{});
  EXPECT_EQ(state(ids[1]), BuildState::released) << "the record stays";
  works.discarded.clear();
  start();
  run();
  EXPECT_EQ(works.discarded, (std::vector<BuildId>{bad, ids[1]})) << "a daemon may have been killed before it";
  works.findings.clear();
  commit("other", "two");
  auto anew = request("other");
  run();
  EXPECT_EQ(build(anew).same_as, 0u) << "what is gone is built anew";
  EXPECT_EQ(state(anew), BuildState::passed);
}

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
