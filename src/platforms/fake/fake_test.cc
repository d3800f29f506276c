#include <atomic>
#include <thread>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "platforms/fake/fake_agents.h"
#include "platforms/fake/fake_platform.h"

namespace mayfly {
namespace {

using Kind = AgentEvent::Kind;

Deadline soon() { return after(std::chrono::seconds(20)); }

AgentOrder order(JobId id, Duration timeout = std::chrono::hours(1)) {
  AgentOrder o;
  o.message.job = id;
  o.message.argv = {"true"};
  o.message.timeout = timeout;
  return o;
}

class Fake : public testing::Test {
 protected:
  BuilderRequest request(const BuilderId& id) {
    BuilderRequest r;
    r.id = id;
    r.pool = "p";
    r.image = *platform_.prepare("image", soon());
    return r;
  }
  AgentSink sink() {
    return [this](AgentEvent e) { events_.push_back(std::move(e)); };
  }
  void launch_and_connect(const BuilderId& id) {
    ASSERT_TRUE(platform_.launch(request(id), soon()));
    agents_->connect(id, platform_.agent_address(id), seconds(5));
    world_.deliver_all();
  }
  std::vector<Kind> kinds() {
    std::vector<Kind> out;
    for (const auto& e : events_) out.push_back(e.kind);
    return out;
  }
  // Behaviour of every builder from now on.
  void all_builders(FakeBehaviour b) {
    world_.behaviour = [b](const BuilderRequest&) { return b; };
  }

  FakeClock clock_;
  FakeWorld world_{clock_};
  FakePlatform platform_{world_};
  std::vector<AgentEvent> events_;
  std::unique_ptr<FakeAgents> agents_ = std::make_unique<FakeAgents>(world_, sink());
};

TEST_F(Fake, AJobRunsItsCourseOnTheWorldsClock) {
  world_.outcome = [](const agent::Assign&) {
    return FakeOutcome{.result = {.cause = JobCause::exited, .exit_code = 3, .signal = 0, .message = {}},
                       .takes = seconds(10)};
  };
  launch_and_connect("p-1");
  agents_->assign("p-1", order(7));
  EXPECT_EQ(kinds(), std::vector{Kind::hello}) << "nothing happens before the test lets it";
  world_.deliver_all();
  EXPECT_EQ(kinds(), (std::vector{Kind::hello, Kind::started}));
  EXPECT_EQ(world_.next_due(), std::optional(clock_.now() + seconds(10)));
  clock_.advance(seconds(10));
  EXPECT_EQ(world_.deliver_all(), 1);
  ASSERT_EQ(kinds(), (std::vector{Kind::hello, Kind::started, Kind::finished}));
  EXPECT_EQ(events_[2].finished->job, 7U);
  EXPECT_EQ(events_[2].finished->result.exit_code, 3);
  EXPECT_EQ(events_[2].finished->ended_at - events_[2].finished->started_at, seconds(10));

  agents_->release("p-1");
  EXPECT_EQ(world_.builders().size(), 1U) << "remains until stop()";
  EXPECT_FALSE(world_.builders()[0].alive);
  ASSERT_TRUE(platform_.stop("p-1", soon()));
  EXPECT_TRUE(platform_.list(soon())->empty());
  EXPECT_EQ(world_.counts().most_jobs_of_a_builder, 1);
  EXPECT_EQ(world_.counts().most_runs_of_a_job, 1);
  EXPECT_EQ(world_.counts().launches, 1);
  EXPECT_EQ(world_.counts().stops, 1);
}

TEST_F(Fake, ImmediateModeNeedsNoDelivery) {
  FakeWorld now(clock_, true);
  FakePlatform platform(now);
  FakeAgents agents(now, [&](AgentEvent e) {
    events_.push_back(e);
    if (e.kind == Kind::hello && e.hello->job == 0)
      agents.assign("p-1", order(1));  // as control does, from within the sink
  });
  ASSERT_TRUE(platform.launch(request("p-1"), soon()));
  agents.connect("p-1", platform.agent_address("p-1"), seconds(5));
  EXPECT_EQ(kinds(), (std::vector{Kind::hello, Kind::started, Kind::finished}));
}

TEST_F(Fake, ABuilderTakesOneJobAndCountsWhatItIsOffered) {
  launch_and_connect("p-1");
  agents_->assign("p-1", order(1));
  world_.deliver_all();
  agents_->assign("p-1", order(1));  // again: it answers with its state
  agents_->assign("p-1", order(2));
  world_.deliver_all();
  ASSERT_EQ(kinds(), (std::vector{Kind::hello, Kind::started, Kind::finished, Kind::hello, Kind::refused}));
  EXPECT_TRUE(events_[3].hello->finished.has_value());
  EXPECT_EQ(events_[4].job, 2U);
  EXPECT_EQ(world_.counts().most_jobs_of_a_builder, 2) << "this is what an invariant test must see";
}

TEST_F(Fake, LaunchesFailInEveryWay) {
  all_builders({.launch = FakeBehaviour::Launch::fails});
  EXPECT_FALSE(platform_.launch(request("p-1"), soon()));
  EXPECT_TRUE(world_.builders().empty());

  all_builders({.launch = FakeBehaviour::Launch::leaves});
  EXPECT_FALSE(platform_.launch(request("p-2"), soon()));
  ASSERT_EQ(world_.builders().size(), 1U);
  EXPECT_FALSE(world_.builders()[0].alive);
  EXPECT_TRUE(platform_.stop("p-2", soon()));

  all_builders({.launch = FakeBehaviour::Launch::reply_lost});
  auto lost = platform_.launch(request("p-3"), soon());
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, ErrorCode::timeout);
  EXPECT_TRUE(world_.builders()[0].alive) << "it runs though nobody was told";
  EXPECT_TRUE(platform_.launch(request("p-3"), soon())) << "idempotent by id";
  EXPECT_EQ(world_.counts().launches, 2);

  auto late = platform_.launch(request("p-4"), after(seconds(-1)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, ErrorCode::timeout);
}

TEST_F(Fake, AHeldLaunchWaitsForTheTest) {
  all_builders({.launch = FakeBehaviour::Launch::held});
  auto r = request("p-1");
  Result<void> launched = fail(ErrorCode::internal, "not back yet");
  std::thread worker([&] { launched = platform_.launch(r, soon()); });
  while (world_.held_launches() == 0) std::this_thread::yield();
  world_.let_launches_go();
  worker.join();
  EXPECT_TRUE(launched);
}

TEST_F(Fake, AnUnreachableAgentIsToldOfWhenPatienceEnds) {
  all_builders({.reachable = false});
  ASSERT_TRUE(platform_.launch(request("p-1"), soon()));
  agents_->connect("p-1", platform_.agent_address("p-1"), seconds(5));
  world_.deliver_all();
  EXPECT_TRUE(events_.empty());
  clock_.advance(seconds(5));
  world_.deliver_all();
  EXPECT_EQ(kinds(), std::vector{Kind::unreachable});
}

TEST_F(Fake, BuildersDieUnderTheirJobs) {
  all_builders({.death = FakeBehaviour::Death::while_running});
  launch_and_connect("p-1");
  agents_->assign("p-1", order(1));
  world_.deliver_all();
  EXPECT_EQ(kinds(), (std::vector{Kind::hello, Kind::started, Kind::unreachable}));
  EXPECT_FALSE(world_.builders()[0].alive);

  events_.clear();
  all_builders({.death = FakeBehaviour::Death::on_assign});
  launch_and_connect("p-2");
  agents_->assign("p-2", order(2));
  world_.deliver_all();
  EXPECT_EQ(kinds(), (std::vector{Kind::hello, Kind::unreachable}));
}

TEST_F(Fake, CancelEndsARunningJobAndTimeoutALongOne) {
  world_.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = std::chrono::hours(5)}; };
  launch_and_connect("p-1");
  launch_and_connect("p-2");
  agents_->assign("p-1", order(1));
  agents_->assign("p-2", order(2, std::chrono::hours(1)));
  world_.deliver_all();
  events_.clear();
  agents_->cancel("p-1", 1);
  world_.deliver_all();
  ASSERT_EQ(kinds(), std::vector{Kind::finished});
  EXPECT_EQ(events_[0].finished->result.cause, JobCause::cancelled);
  clock_.advance(std::chrono::hours(1));
  world_.deliver_all();
  ASSERT_EQ(events_.size(), 2U);
  EXPECT_EQ(events_[1].finished->result.cause, JobCause::timed_out);
}

TEST_F(Fake, TheNextDaemonFindsWhatTheLastOneLeft) {
  world_.outcome = [](const agent::Assign&) { return FakeOutcome{.takes = seconds(10)}; };
  launch_and_connect("p-1");
  agents_->assign("p-1", order(9));
  world_.deliver_all();
  agents_.reset();  // kill -9
  events_.clear();
  clock_.advance(seconds(10));
  world_.deliver_all();
  EXPECT_TRUE(events_.empty()) << "nobody was listening";

  agents_ = std::make_unique<FakeAgents>(world_, sink());
  agents_->connect("p-1", platform_.agent_address("p-1"), seconds(5));
  world_.deliver_all();
  ASSERT_EQ(kinds(), std::vector{Kind::hello});
  EXPECT_EQ(events_[0].hello->job, 9U);
  ASSERT_TRUE(events_[0].hello->finished.has_value());
  EXPECT_EQ(events_[0].hello->finished->result.exit_code, 0);
}

TEST_F(Fake, NothingComesAfterDisconnectAndABrokenLineLeavesTheBuilder) {
  launch_and_connect("p-1");
  launch_and_connect("p-2");
  events_.clear();
  agents_->assign("p-1", order(1));
  agents_->disconnect("p-1");
  world_.break_line("p-2");
  world_.deliver_all();
  ASSERT_EQ(kinds(), std::vector{Kind::unreachable});
  EXPECT_EQ(events_[0].builder, "p-2");
  EXPECT_TRUE(world_.builders()[1].alive);
}

TEST_F(Fake, FaultsOfTheWholePlatform) {
  auto image = platform_.prepare("a", soon());
  ASSERT_TRUE(image);
  EXPECT_EQ(image->digest.size(), 71U);
  EXPECT_EQ(image->digest, platform_.prepare("a", soon())->digest);
  EXPECT_NE(image->digest, platform_.prepare("b", soon())->digest);
  platform_.remove_image("a");
  EXPECT_EQ(platform_.prepare("a", soon()).error().code, ErrorCode::not_found);
  platform_.fail_stop(Error{ErrorCode::unavailable, "no"});
  EXPECT_FALSE(platform_.stop("p-1", soon()));
  platform_.fail_stop({});
  EXPECT_TRUE(platform_.stop("p-1", soon())) << "true even if it never existed";
  platform_.set_health({.accepts_builders = false, .disk_full = true, .problem = "full"});
  EXPECT_TRUE(platform_.health().disk_full);
}

TEST_F(Fake, SeveralThreadsAtOnce) {
  std::atomic<int> finished = 0;
  FakeWorld now(clock_, true);
  FakePlatform platform(now);
  {
    FakeAgents agents(now, [&](const AgentEvent& e) { finished += e.kind == Kind::finished ? 1 : 0; });
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < 50; ++i) {
          auto id = fmt::format("p-{}", t * 50 + i + 1);
          BuilderRequest r;
          r.id = id;
          EXPECT_TRUE(platform.launch(r, soon()));
          agents.connect(id, platform.agent_address(id), seconds(1));
          agents.assign(id, order(static_cast<JobId>(t * 50 + i + 1)));
        }
      });
    for (auto& t : threads) t.join();
  }
  EXPECT_EQ(finished, 200);
  for (const auto& b : now.builders()) EXPECT_TRUE(platform.stop(b.id, soon()));
  EXPECT_EQ(now.counts().most_builders, 200);
  EXPECT_EQ(now.counts().most_jobs_of_a_builder, 1);
  EXPECT_EQ(now.counts().second_lives, 0);
}

}  // namespace
}  // namespace mayfly
