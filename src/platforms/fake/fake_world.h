#pragma once
// A world of builders that exist only as values: what FakePlatform starts and FakeAgents talks to. It outlives both, so
// that a test can throw a daemon away and let the next one find what the first left behind.
//
// Deterministic, safe for several threads, and without threads of its own. What an agent says happens at a time of the
// world's clock: deliver_all() lets everything happen that is due; in immediate mode all happens within the call that
// caused it, whatever the clock says.
#include <condition_variable>
#include <cstdint>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ports/agents.h"
#include "ports/platform.h"

namespace mayfly {

class FakeClock final : public Clock {
 public:
  explicit FakeClock(Time start = from_micros(1'000'000'000)) : now_(start) {}
  Time now() const override;
  void advance(Duration d);
  void set(Time t);
  void jump(Duration by);  // of the wall clock alone
  Duration steady() const override;

 private:
  mutable std::mutex mutex_;
  Time now_;
  Duration jumped_{};
};

// What becomes of one builder; the test decides, when it is launched.
struct FakeBehaviour {
  enum class Launch {
    succeeds,
    fails,       // an error, and nothing of it exists
    leaves,      // an error, and remains that only stop() removes
    reply_lost,  // an error, though it runs
    held,        // returns only after let_launches_go(), or at its deadline (and runs all the same)
  };
  enum class Death { never, on_assign, while_running };
  Launch launch = Launch::succeeds;
  Death death = Death::never;
  bool reachable = true;  // false: nothing answers at its address
  bool refuses = false;   // the agent takes no job
  bool deaf = false;      // the agent never ends its job: neither when told nor at the time limit
};

// What a job does.
struct FakeOutcome {
  JobResult result = {.cause = JobCause::exited, .exit_code = 0, .signal = 0, .message = {}};
  Duration takes = {};
  std::string output = {};
};

// What the invariants are checked with.
struct FakeCounts {
  int launches = 0;                // calls that made a builder
  int stops = 0;                   // calls that removed one
  int most_jobs_of_a_builder = 0;  // different jobs offered to one: never more than 1
  int most_runs_of_a_job = 0;      // builders that started one job: more than 1 only for repeatable jobs
  int most_builders = 0;           // at once
  int prepared = 0;                // orders that travelled ahead of their assignment
  int other_prepared = 0;          // jobs assigned after another one was prepared on the same line: never
  int second_lives = 0;            // launches of an id that had been removed: ids are never used again
};

class FakeWorld {
 public:
  explicit FakeWorld(const Clock& clock, bool immediate = false) : clock_(clock), immediate_(immediate) {}
  FakeWorld(const FakeWorld&) = delete;
  FakeWorld& operator=(const FakeWorld&) = delete;

  // Set before the world is used; called with the world locked, so they must not call back into it.
  std::function<FakeBehaviour(const BuilderRequest&)> behaviour = [](const BuilderRequest&) { return FakeBehaviour(); };
  std::function<FakeOutcome(const agent::Assign&)> outcome = [](const agent::Assign&) { return FakeOutcome(); };
  // Told of each job that ends: the truth, whatever becomes of the message.
  std::function<void(const BuilderId&, const agent::Finished&)> on_finish = [](const BuilderId&,
                                                                               const agent::Finished&) {};

  int deliver_all();                     // everything due now, and what follows from it; how many things happened
  std::optional<Time> next_due() const;  // when the next thing happens: where a simulation sets its clock
  void let_launches_go();                // those held now and later
  void kill(const BuilderId& id);        // the builder dies by itself; remains are left
  void vanish(const BuilderId& id);      // it is gone without remains, as after a host's restart
  void break_line(const BuilderId& id);  // the connection breaks; the builder lives on

  FakeCounts counts() const;
  std::vector<SeenBuilder> builders() const;  // of which anything exists
  std::size_t held_launches() const;

 private:
  friend class FakePlatform;
  friend class FakeAgents;
  using Line = const AgentSink*;  // one FakeAgents

  struct Living {
    FakeBehaviour behaviour;
    bool alive = true;
    Line line = nullptr;
    AgentOrder order;  // order.message.job is 0 before it has one
    std::pair<Line, JobId> held{};
    FakeOutcome outcome;
    Time started_at{};
    std::optional<agent::Finished> finished;
    std::shared_ptr<std::ofstream> result_file;  // only between the order and the result
    std::set<JobId> offered;
  };
  enum class What { hello, unreachable, started, refused, finish, die };
  struct Happening {
    BuilderId builder;
    What what;
    Line line = nullptr;  // whom it is for; null: whoever is connected then
    JobId job = 0;
    std::string text = {};
  };
  struct Delivery {
    Line line;
    AgentEvent event;
  };

  // Platform
  Result<void> launch(const BuilderRequest& request, Deadline deadline);
  bool remove(const BuilderId& id);
  // Agents
  void connect(Line line, const BuilderId& id, bool right_address, Duration patience);
  void prepare(Line line, const BuilderId& id, JobId job);
  void assign(Line line, const BuilderId& id, AgentOrder order);
  void cancel(Line line, const BuilderId& id, JobId job);
  void release(Line line, const BuilderId& id);
  void disconnect(Line line, const BuilderId& id);
  void detach(Line line);  // no event reaches it after this returns

  // With mutex_ held.
  void at(Duration later, Happening what);
  void begin_job(Living& b, const BuilderId& id);
  void end_life(Living& b, const BuilderId& id, const std::string& why);
  std::optional<Delivery> happen(const Happening& h);
  AgentEvent finish(Living& b, const BuilderId& id);
  AgentEvent hello(const Living& b, const BuilderId& id) const;

  int pump(bool everything);  // without it
  void pump_if_immediate() {
    if (immediate_) pump(true);
  }

  const Clock& clock_;
  const bool immediate_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<BuilderId, Living> builders_;
  std::set<BuilderId> past_;  // removed
  std::multimap<Time, Happening> agenda_;
  std::map<JobId, int> runs_;
  FakeCounts counts_;
  bool launches_go_ = false;
  std::size_t held_ = 0;
  bool pumping_ = false;
  Line speaking_to_ = nullptr;
};

}  // namespace mayfly
