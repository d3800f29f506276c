#pragma once
// For tests of control only: the core in a fake world. One thread, one clock, so every test is exact. A crash is an
// exception thrown out of a step boundary: that core is thrown away, as a killed daemon is, and a new one recovers from
// the store and the world.
#include <stdlib.h>

#include <deque>
#include <filesystem>
#include <functional>

#include <gtest/gtest.h>

#include "control/core.h"
#include "platforms/fake/fake_agents.h"
#include "platforms/fake/fake_platform.h"
#include "store/memory/memory_store.h"

namespace mayfly {

struct Crash {};

class NoSecrets final : public SecretStore {
 public:
  Result<std::string> get(const std::string& name) override {
    if (name == "known") return std::string("value-of-known");
    return fail(ErrorCode::not_found, "there is no secret '" + name + "'");
  }
};

class NoImages final : public ImageTool {
 public:
  Result<std::string> build(const ImageSpec& image, Deadline) override { return "built/" + image.name; }
};

// Calls the platform at once, and lets the answers wait in the mailbox: what a crash does to them is that they are
// lost.
class PlainExecutor final : public Executor {
 public:
  PlainExecutor(Platform& platform, ImageTool& images, std::deque<std::function<void()>>& mailbox)
      : platform_(platform), images_(images), mailbox_(mailbox) {}
  void prepare(const std::string&, const std::string& reference, const ImageSpec* recipe,
               std::function<void(Result<PlatformImage>)> done) override {
    auto ref = recipe ? images_.build(*recipe, soon()).value() : reference;
    answer(done, platform_.prepare(ref, soon()));
  }
  void launch(const std::string&, BuilderRequest request, std::function<void(Result<void>)> done) override {
    answer(done, platform_.launch(request, soon()));
  }
  void stop(const std::string&, BuilderId builder, std::function<void(Result<void>)> done) override {
    answer(done, platform_.stop(builder, soon()));
  }
  void list(const std::string&, std::function<void(Result<std::vector<SeenBuilder>>)> done) override {
    answer(done, platform_.list(soon()));
  }
  void ci(const std::shared_ptr<Ci>&, CiWork, std::function<std::function<void()>()> call) override {
    mailbox_.push_back(call());
  }

  void registry(std::function<void()> call, std::function<void()> done) override {
    call();
    mailbox_.push_back(done);
  }

 private:
  static Deadline soon() { return after(seconds(5)); }
  template <class F, class R>
  void answer(F done, R result) {
    mailbox_.push_back([done, result] { done(result); });
  }
  Platform& platform_;
  ImageTool& images_;
  std::deque<std::function<void()>>& mailbox_;
};

// One world, in which daemons come and go: start() makes a new core on the same store and platform.
class World {
 public:
  FakeClock clock;
  FakeWorld fake{clock};
  FakePlatform platform{fake, "local"};
  MemoryStore store;
  NoSecrets secrets;
  NoImages images;
  Log log{LogLevel::error, -1};
  Config config;
  std::map<PoolName, std::shared_ptr<Ci>> cis;
  std::function<Result<std::shared_ptr<Ci>>(const PoolSpec&)> make_ci;
  StatePaths paths;
  Publisher* publisher = nullptr;
  int crash_at = 0, steps = 0;  // crash at the n-th step boundary from now; 0: never
  std::vector<std::string> boundaries;
  std::string crash_before;  // crash at the boundary of this name

  World() {
    char name[] = "/tmp/mfcoreXXXXXX";
    paths.root = ::mkdtemp(name);
    std::filesystem::create_directories(paths.uploads());
    PoolSpec pool;
    pool.name = "p";
    pool.image = "img";
    pool.max = 3;
    pool.secrets = {"known", "unknown"};
    config.pools["p"] = pool;
  }
  ~World() { std::filesystem::remove_all(paths.root); }

  PoolSpec& pool() { return config.pools["p"]; }

  void start() {
    mailbox_.clear();
    core_.reset();
    agents_ = std::make_unique<FakeAgents>(
        fake, [this](AgentEvent e) { mailbox_.push_back([this, e] { core_->on_agent(e); }); });
    executor_ = std::make_unique<PlainExecutor>(platform, images, mailbox_);
    ControlParts parts{
        clock, log, store, secrets, images, {&platform}, {}, paths, config, {}, [this](std::string_view step) {
          boundaries.emplace_back(step);
          if (crash_at > 0 && ++steps == crash_at) throw Crash();
          if (step == crash_before) throw Crash();
        }};
    parts.publisher = publisher;
    parts.cis = cis;
    parts.make_ci = make_ci;
    parts.on_drained = on_drained;
    core_ = std::make_unique<Core>(std::move(parts), *agents_, *executor_);
    ASSERT_TRUE(core_->recover());
  }

  // Does it; where the planned crash comes in between, again with the next daemon.
  void survive(const std::function<void()>& action) {
    for (int tries = 0; tries < 3; ++tries) {
      try {
        return action();
      } catch (const Crash&) {
        crash_at = 0;
        start();
      }
    }
  }

  // Steps until nothing happens any more, moving the clock to whatever comes next within `limit`.
  void run(Duration limit = std::chrono::minutes(5)) {
    Time end = clock.now() + limit;
    for (int i = 0; i < 10'000; ++i) {
      core_->step();
      bool worked = fake.deliver_all() > 0 || !mailbox_.empty();
      auto messages = std::exchange(mailbox_, {});
      for (auto& m : messages) m();
      if (worked) continue;
      auto next = fake.next_due();
      if (auto wake = core_->wake(); wake && (!next || *wake < *next)) next = wake;
      if (!next || *next > end) return;
      clock.set(std::max(*next, clock.now()));
    }
    FAIL() << "it never comes to rest";
  }

  // As from another thread: the loop comes to it.
  void post(std::function<void()> message) { mailbox_.push_back(std::move(message)); }

  JobId submit(JobSpec spec = command({"true"}), std::string key = {}) {
    // Shared: while the store is full the answer comes only later.
    auto id = std::make_shared<JobId>(0);
    core_->submit(std::move(spec), std::move(key), [this, id](Result<Job> j) {
      if (j)
        *id = j->id;
      else
        refusal = j.error();
    });
    core_->step();
    return *id;
  }
  static JobSpec command(std::vector<std::string> argv) {
    JobSpec s;
    s.pool = "p";
    s.command = std::move(argv);
    return s;
  }
  Job job(JobId id) { return core_->job(id).value(); }
  std::size_t builders() { return core_->builders(false)->size(); }
  Core& core() { return *core_; }

  std::optional<Error> refusal;
  std::function<void()> on_drained;

 private:
  std::deque<std::function<void()>> mailbox_;
  std::unique_ptr<FakeAgents> agents_;
  std::unique_ptr<PlainExecutor> executor_;
  std::unique_ptr<Core> core_;
};

}  // namespace mayfly
