// The threads for calls to CIs.
#include "control/worker_executor.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace mayfly {
namespace {

// Calls of it return when it is let go, or abandoned.
class SlowCi final : public Ci {
 public:
  explicit SlowCi(std::string connection) : connection_(std::move(connection)) {}
  std::string_view kind() const override { return "slow"; }
  std::string place() const override { return "some queue"; }
  std::string connection() const override { return connection_; }
  CiRunner runner() const override { return {}; }
  Result<CiSight> observe(Deadline) override { return CiSight(); }
  Result<CiCredential> mint(const std::string&, const CiJob&, Deadline) override { return CiCredential(); }
  Result<std::optional<CiJob>> taken(const CiRegistration&, Deadline) override { return std::optional<CiJob>(); }
  Result<void> forget(const CiRegistration&, Deadline) override { return {}; }
  Result<std::vector<CiRegistration>> registrations(const std::string&, Deadline) override {
    return std::vector<CiRegistration>();
  }
  void abandon() override { let_go(); }

  void let_go() {
    std::lock_guard lock(mutex_);
    free_ = true;
    changed_.notify_all();
  }
  void block() {
    std::unique_lock lock(mutex_);
    most_ = std::max(most_, ++inside_);
    changed_.notify_all();
    changed_.wait(lock, [this] { return free_; });
    --inside_;
    ++done_;
    changed_.notify_all();
  }
  void wait_for_inside(int n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return inside_ >= n; });
  }
  void wait_for_done(int n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_ >= n; });
  }
  int most() {
    std::lock_guard lock(mutex_);
    return most_;
  }

 private:
  const std::string connection_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool free_ = false;
  int inside_ = 0, most_ = 0, done_ = 0;
};

class NoTool final : public ImageTool {
 public:
  Result<std::string> build(const ImageSpec&, Deadline) override { return std::string(); }
};

struct Calls {
  NoTool tool;
  std::unique_ptr<WorkerExecutor> executor =
      std::make_unique<WorkerExecutor>(std::vector<Platform*>{}, tool, [](auto) {});
  // Blocks in `gate`, on the threads of `port`'s connection.
  void call(const std::shared_ptr<Ci>& port, CiWork work, const std::shared_ptr<SlowCi>& gate) {
    executor->ci(port, work, [gate]() -> std::function<void()> {
      gate->block();
      return [] {};
    });
  }
};

TEST(CiWorkers, PoolsOfOneConnectionShareThemAndThoseOfAnotherHaveTheirOwn) {
  Calls c;
  auto hung = std::make_shared<SlowCi>("one");
  std::vector<std::shared_ptr<SlowCi>> pools;
  for (int i = 0; i < 30; ++i) pools.push_back(std::make_shared<SlowCi>("one"));
  for (const auto& pool : pools) c.call(pool, CiWork::act, hung);
  hung->wait_for_inside(4);

  auto other = std::make_shared<SlowCi>("two"), look = std::make_shared<SlowCi>("one");
  other->let_go();
  look->let_go();
  c.call(other, CiWork::act, other);
  other->wait_for_done(1);
  c.call(look, CiWork::observe, look);  // the same CI's queue is looked at all the same
  look->wait_for_done(1);

  hung->let_go();
  hung->wait_for_done(30);
  EXPECT_EQ(hung->most(), 4);
}

TEST(CiWorkers, AtTheEndCallsUnderWayAreGivenUpAndTheOthersNotBegun) {
  Calls c;
  auto hung = std::make_shared<SlowCi>("one");
  for (int i = 0; i < 30; ++i) c.call(hung, CiWork::act, hung);
  hung->wait_for_inside(4);
  c.executor.reset();  // would wait for ever
  SUCCEED();
}

}  // namespace
}  // namespace mayfly
