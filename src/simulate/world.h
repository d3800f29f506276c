#pragma once
// The world that a simulated Core acts on: platforms, agents and a clock that exist only as values. Unlike
// platforms/fake, which plays faults for tests, nothing fails here, and everything is made for millions of jobs.
#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/control.h"
#include "control/executor.h"
#include "ports/image_tool.h"
#include "ports/secret_store.h"
#include "ports/store.h"

namespace mayfly::simulate {

class SimClock final : public Clock {
 public:
  Time now() const override { return now_; }
  void set(Time t) { now_ = t; }

 private:
  Time now_{};
};

// Says yes to everything, and to the planner how many launches fit at once. The calls that act are the executor's.
class SimPlatform final : public Platform {
 public:
  SimPlatform(std::string name, int launches) : name_(std::move(name)), launches_(launches) {}
  std::string_view name() const override { return name_; }
  int parallel_launches() const override { return launches_; }
  PlatformHealth health() override { return {}; }
  Result<PlatformImage> prepare(const std::string& reference, Deadline) override {
    return PlatformImage{reference, "sha256:simulated", {}, {}, {}};
  }
  Result<void> launch(const BuilderRequest&, Deadline) override { return {}; }
  std::string agent_address(const BuilderId&) const override { return {}; }
  Result<void> stop(const BuilderId&, Deadline) override { return {}; }
  Result<std::vector<SeenBuilder>> list(Deadline) override { return std::vector<SeenBuilder>(); }

 private:
  std::string name_;
  int launches_;
};

// Keeps nothing: a simulated daemon never starts again.
class SimStore final : public Store {
 public:
  Result<void> commit(const Batch&) override { return {}; }
  Result<StoreSnapshot> load() override { return StoreSnapshot(); }
  Result<std::optional<Job>> job(JobId) override { return std::optional<Job>(); }
  Result<std::optional<JobId>> job_with_key(const std::string&) override { return std::optional<JobId>(); }
  Result<std::vector<Job>> jobs(const JobFilter&) override { return std::vector<Job>(); }
  Result<std::optional<Builder>> builder(const BuilderId&) override { return std::optional<Builder>(); }
  Result<std::vector<Builder>> builders(std::size_t) override { return std::vector<Builder>(); }
  Result<std::optional<ImageBuild>> image_build(BuildId) override { return std::optional<ImageBuild>(); }
  Result<std::vector<ImageBuild>> image_builds(const std::string&, std::size_t) override {
    return std::vector<ImageBuild>();
  }
  Result<std::vector<ImageBuild>> active_image_builds() override { return std::vector<ImageBuild>(); }
  Result<std::vector<JobId>> jobs_ended_before(Time, std::size_t) override { return std::vector<JobId>(); }
  Result<std::vector<LedgerEntry>> ledger(std::uint64_t, std::size_t, const std::string&) override {
    return std::vector<LedgerEntry>();
  }
  Result<LedgerCheck> verify_ledger() override { return LedgerCheck(); }
};

class SimSecrets final : public SecretStore {
 public:
  Result<std::string> get(const std::string&) override { return std::string("simulated"); }
};

class SimImages final : public ImageTool {
 public:
  Result<std::string> build(const ImageSpec& image, Deadline) override { return image.name; }
};

// What the world tells about its builders and jobs, as it happens.
struct WorldWatcher {
  virtual ~WorldWatcher() = default;
  virtual void builder_requested(const PoolName& pool) = 0;
  virtual void builder_gone(const PoolName& pool, Time requested) = 0;
  virtual Duration job_started(JobId job, const PoolName& pool, Duration timeout) = 0;  // gives how long it takes
  virtual void job_ended(JobId job, bool timed_out) = 0;
  // Whether a builder that goes away could change what control decides.
  virtual bool somebody_waits() const = 0;
};

class World final : public Agents, public Executor {
 public:
  // prompt: control steps as soon as a job has started, for that is when warm builders are replaced.
  World(SimClock& clock, Duration start, Duration resolution, bool prompt, WorldWatcher& watcher)
      : clock_(clock), start_(start), resolution_(resolution), prompt_(prompt), watcher_(watcher) {}

  // Where the agents' events go; before anything else.
  void set_sink(AgentSink sink) { sink_ = std::move(sink); }

  // Lets happen what is due. False: control need not step for it: while no job waits, ends of jobs are kept until
  // something else happens, for all that control would do is take note.
  bool deliver();
  void deliver_kept();  // to be called before every step
  std::optional<Time> next_due() const;
  // Every builder that still is, as (pool, since when).
  void each_builder(const std::function<void(const PoolName&, Time)>& f) const;

  void connect(const BuilderId&, const std::string&, Duration) override {}
  void assign(const BuilderId& builder, AgentOrder order) override;
  void cancel(const BuilderId&, JobId) override {}
  void release(const BuilderId&) override {}
  void disconnect(const BuilderId&) override {}

  using Agents::prepare;
  void prepare(const std::string& platform, const std::string& reference, const ImageSpec* recipe,
               std::function<void(Result<PlatformImage>)> done) override;
  void launch(const std::string& platform, BuilderRequest request, std::function<void(Result<void>)> done) override;
  void stop(const std::string& platform, BuilderId builder, std::function<void(Result<void>)> done) override;
  void list(const std::string& platform, std::function<void(Result<std::vector<SeenBuilder>>)> done) override;

 private:
  struct Living {
    PoolName pool;
    Time requested{}, started{};
    JobId job = 0;
    bool timed_out = false, over = false;
    std::function<void(Result<void>)> launched;
  };
  using Builders = std::unordered_map<BuilderId, Living>;
  struct Happening {
    Time at;
    std::uint64_t order;  // what was caused first happens first
    BuilderId builder;
    bool operator>(const Happening& o) const { return at != o.at ? at > o.at : order > o.order; }
  };
  void happen_at(Time t, const BuilderId& builder) { agenda_.push({t, order_++, builder}); }
  bool happen(const BuilderId& id);
  Time on_grid(Time t) const;

  SimClock& clock_;
  const Duration start_, resolution_;
  const bool prompt_;
  WorldWatcher& watcher_;
  AgentSink sink_;
  Builders builders_;
  std::priority_queue<Happening, std::vector<Happening>, std::greater<>> agenda_;
  std::uint64_t order_ = 0;
  std::vector<std::function<void()>> mailbox_;  // what follows at once, but not from inside the call that caused it
  std::vector<AgentEvent> started_;             // need no step of their own
  std::vector<std::function<void()>> kept_;
};

}  // namespace mayfly::simulate
