#include "ci/fake/fake_ci.h"

#include "tests/contract/ci_contract.h"

namespace mayfly {
namespace {
using namespace testing_support;

class FakeBench final : public CiBench {
 public:
  Ci& ci() override { return *ci_; }
  void restart() override { ci_ = std::make_unique<FakeCi>(world_); }
  void queue(const std::string& id) override {
    world_.queue({.id = id, .url = "https://ci.example/" + id, .queued_at = from_micros(1)});
  }
  void queue_for_others(const std::string&) override {}
  bool take(const std::string& runner, const std::string& id) override { return world_.take(runner, id); }
  void end(const std::string& id, CiOutcome outcome) override { world_.end(id, outcome, from_micros(2)); }
  void vanish(const std::string& id) override { world_.vanish(id); }
  void fault(CiServerFault fault) override {
    bool limit = fault == CiServerFault::throttled || fault == CiServerFault::limit_reached;
    world_.break_with(fault == CiServerFault::none || fault == CiServerFault::odd ? FakeCiFault::none
                      : limit                                                     ? FakeCiFault::throttled
                      : fault == CiServerFault::credential_expired                ? FakeCiFault::denied
                                                                                  : FakeCiFault::unavailable);
  }
  std::vector<std::string> registered() override {
    std::vector<std::string> names;
    for (const auto& r : world_.registrations()) names.push_back(r.name);
    return names;
  }
  void register_stranger(const std::string& name) override { ASSERT_TRUE(world_.mint(name, {})); }
  int requests() override { return 0; }
  void skew(Duration) override {}
  void rotate_credential() override {}
  Delivery delivery_of(const std::string& id) override {
    return {{{"x-fake-secret", "hook-secret"}, {"x-fake-delivery", "d" + id}}, id + " pending\n"};
  }

 private:
  FakeCiWorld world_;
  std::unique_ptr<FakeCi> ci_ = std::make_unique<FakeCi>(world_);
};

INSTANTIATE_TEST_SUITE_P(Fake, CiContract,
                         testing::Values(CiUnderTest{"fake", [] { return std::make_unique<FakeBench>(); }, false}),
                         ci_test_name);

// What the benches of control rely on.
TEST(FakeCi, ARunnerTakesOneJobAtMost) {
  FakeCiWorld world;
  ASSERT_TRUE(world.mint("r", {}));
  world.queue({.id = "1"});
  world.queue({.id = "2"});
  EXPECT_EQ(world.take_any("r"), "1");
  EXPECT_EQ(world.take_any("r"), "");
  EXPECT_EQ(world.most_jobs_of_a_registration(), 1u);
}

TEST(FakeCi, ALostReplyHasHadItsEffect) {
  FakeCiWorld world;
  world.break_with(FakeCiFault::reply_lost, 1);
  EXPECT_FALSE(world.mint("r", {}));
  EXPECT_EQ(world.registrations().size(), 1u);
}

TEST(FakeCi, APartOfTheQueueIsNotTheWhole) {
  FakeCiWorld world;
  for (auto id : {"1", "2", "3"}) world.queue({.id = id});
  world.hide_rest_after(2);
  auto sight = world.observe();
  ASSERT_TRUE(sight);
  EXPECT_FALSE(sight->whole);
  EXPECT_EQ(sight->jobs.size(), 2u);
}

}  // namespace
}  // namespace mayfly
