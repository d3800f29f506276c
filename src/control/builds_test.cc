#include "control/builds.h"

#include "control/builds_world_test.h"

namespace mayfly {
namespace {

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

TEST_F(BuildsTest, AStricterRuleHoldsForWhatWaitsAlready) {
  tool().approvals = 1;
  start();
  auto id = request();
  run();
  tool().approvals = 3;
  builds->reconfigured();
  EXPECT_EQ(approve(id, "bob"), "");
  EXPECT_EQ(state(id), BuildState::waiting);
  tool().approvals = 1;
  builds->reconfigured();
  start();  // and so after a restart
  EXPECT_EQ(approve(id, "carl"), "");
  EXPECT_EQ(state(id), BuildState::waiting);
  EXPECT_EQ(approve(id, "dora"), "");
  EXPECT_EQ(state(id), BuildState::released);
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

// A daemon killed after the release and before the build that it asks for; and a base that was released by hand.
TEST_F(BuildsTest, ANewBaseIsFollowedWhoeverReleasedItAndOnce) {
  release_top_from_tool();
  auto of_top = [&] { return builds->builds("top", 10).value(); };
  ASSERT_EQ(of_top().size(), 1u);
  ASSERT_EQ(of_top()[0].state, BuildState::released) << of_top()[0].problem;

  builds.reset();  // as if the daemon were killed before it could follow
  release_tool_by_hand();
  works.salt = "-2", works.files = "-2";
  start();
  run();
  ASSERT_EQ(of_top().size(), 2u);
  EXPECT_EQ(of_top()[0].trigger, BuildTrigger::base);
  EXPECT_EQ(of_top()[0].state, BuildState::released) << of_top()[0].problem;
  EXPECT_EQ(of_top()[0].bases.at("tool"), latest("tool"));

  start();
  run();
  EXPECT_EQ(of_top().size(), 2u) << "it is not behind any more";
  world.core().withdraw_after("tool", {}, "ann", [](auto) {});
  world.run(seconds(1));
  start();
  run();
  EXPECT_EQ(of_top().size(), 2u) << "nothing goes back by itself";
}

TEST_F(BuildsTest, ANewBaseThatItCannotBeBuiltFromIsTriedOnce) {
  release_top_from_tool();
  release_tool_by_hand();
  works.broken = Error{ErrorCode::invalid, "RUN false", "Dockerfile:2", ""};
  run();
  auto all = builds->builds("top", 10).value();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].state, BuildState::failed);
  start();
  run();
  EXPECT_EQ(builds->builds("top", 10).value().size(), 2u);
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

TEST_F(BuildsTest, WhatADaemonLeftHalfBuiltIsBegunAgainAndSaysSo) {
  start();
  auto id = request();
  for (int i = 0; i < 20 && state(id) != BuildState::building; ++i) {
    ASSERT_FALSE(mailbox.empty());
    auto m = std::move(mailbox.front());
    mailbox.pop_front();
    m();
  }
  ASSERT_EQ(state(id), BuildState::building);
  for (int restarts = 0; restarts < 2; ++restarts) {
    start();
    EXPECT_EQ(state(id), BuildState::building);
    EXPECT_NE(build(id).problem.find("begun again"), std::string::npos) << build(id).problem;
  }
  run(std::chrono::minutes(1));
  EXPECT_EQ(state(id), BuildState::released);
  EXPECT_EQ(build(id).problem, "");
  auto story = world.store.ledger(1, 1000, "build/" + std::to_string(id)).value();
  EXPECT_EQ(std::count_if(story.begin(), story.end(), [](const auto& e) { return e.kind == "build.begun-again"; }), 2);
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

}  // namespace
}  // namespace mayfly
