#include "tests/simulation/simulation.h"

#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "store/memory/memory_store.h"
#include "store/sqlite/sqlite_store.h"
#include "tests/simulation/chaos.h"
#include "tests/simulation/checks.h"

namespace mayfly::sim {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

// A state directory for one seed.
struct Home {
  StatePaths paths;
  Home() {
    std::string name = "/tmp/mfsimXXXXXX";
    if (!::mkdtemp(name.data())) broken("a directory in /tmp", "cannot be made");
    paths.root = name;
    std::filesystem::create_directories(paths.uploads());
  }
  ~Home() {
    std::error_code ignored;
    std::filesystem::remove_all(paths.root, ignored);
  }
};

// The same MemoryStore again, as a file would be.
class Kept final : public Store {
 public:
  explicit Kept(Store& s) : s_(s) {}
  Result<void> commit(const Batch& b) override { return s_.commit(b); }
  Result<StoreSnapshot> load() override { return s_.load(); }
  Result<std::optional<Job>> job(JobId id) override { return s_.job(id); }
  Result<std::optional<JobId>> job_with_key(const std::string& k) override { return s_.job_with_key(k); }
  Result<std::vector<Job>> jobs(const JobFilter& f) override { return s_.jobs(f); }
  Result<std::optional<Builder>> builder(const BuilderId& id) override { return s_.builder(id); }
  Result<std::vector<Builder>> builders(std::size_t n) override { return s_.builders(n); }
  Result<std::optional<ImageBuild>> image_build(BuildId id) override { return s_.image_build(id); }
  Result<std::vector<ImageBuild>> image_builds(const std::string& image, std::size_t n) override {
    return s_.image_builds(image, n);
  }
  Result<std::vector<ImageBuild>> active_image_builds() override { return s_.active_image_builds(); }
  Result<std::vector<JobId>> jobs_ended_before(Time t, std::size_t n) override { return s_.jobs_ended_before(t, n); }
  Result<std::vector<LedgerEntry>> ledger(std::uint64_t f, std::size_t n, const std::string& s) override {
    return s_.ledger(f, n, s);
  }
  Result<LedgerCheck> verify_ledger() override { return s_.verify_ledger(); }

 private:
  Store& s_;
};

// What a MAYFLY_CHECK that aborts can still say.
struct Current {
  Order order;
  const Trace* trace = nullptr;
};
Current current;

extern "C" void on_abort(int) {
  std::signal(SIGABRT, SIG_DFL);
  Outcome o{.ok = false, .invariant = "no broken check inside the daemon", .what = "it aborted (above)", .last = {}};
  if (current.trace) o.last.assign(current.trace->last().begin(), current.trace->last().end());
  fmt::print(stderr, "{}\n", report(current.order, o));
  std::_Exit(1);
}

class Simulation {
 public:
  explicit Simulation(const Order& order)
      : land_(order.seed, order.mutation, order.loud),
        store_(land_, [this, sqlite = order.seed % 32 == 0] { return open(sqlite); }),
        daemon_((draw(land_), land_), store_, home_.paths),
        clients_(land_, store_, [this](auto request) { return daemon_.send(std::move(request)); }),
        checks_(land_, store_, daemon_, clients_),
        chaos_(land_, store_, daemon_) {
    current = {order, &land_.trace};
  }
  ~Simulation() { current = {}; }

  Outcome run() {
    Outcome o;
    try {
      live();
    } catch (const Violation& v) {
      o.ok = false, o.invariant = v.invariant, o.what = v.what;
    } catch (const std::exception& e) {
      o.ok = false, o.invariant = "the daemon throws nothing", o.what = e.what();
    }
    o.steps = daemon_.steps, o.kills = daemon_.kills;
    o.events = land_.trace.events(), o.hash = land_.trace.hash(), o.jobs = store_.jobs_seen.size();
    o.last.assign(land_.trace.last().begin(), land_.trace.last().end());
    return o;
  }

 private:
  std::unique_ptr<Store> open(bool sqlite) {
    if (!sqlite) return std::make_unique<Kept>(memory_);
    auto store = SqliteStore::open(home_.paths.database());
    if (!store) broken("8: no job and no record is lost", "the store cannot be opened: " + store.error().text());
    return std::move(*store);
  }

  // Pools that follow versions have one to begin with.
  void release_first() {
    ImageVersion first;
    first.image = "versioned";
    first.number = {1, 0, 0};
    first.reference = version_reference(0);
    first.digest = FakePlatform(land_.places.at("a")->fake).prepare(first.reference, after(seconds(1)))->digest;
    if (auto written = store_.commit({.versions = {first}}); !written)
      broken("the first version", written.error().text());
  }

  void live() {
    release_first();
    daemon_.start();
    Duration length = land_.rng.spread(minutes(1), minutes(15));
    clients_.draw_requests(length);
    clients_.draw_releases(length);
    chaos_.schedule(length);
    run_until(length, [] { return false; });
    if (land_.isolation) {
      run_until(hours(12), [this] { return checks_.well_ones_over(); });
      checks_.isolation();
    }
    land_.note("the world heals");
    chaos_.end();
    clients_.let_rollouts_go_on();
    Duration patience = hours(12) + chaos_.jumped_back();
    run_until(patience, [this] { return clients_.all_over(); });
    run_until(minutes(3), [] { return false; });  // what was still on its way arrives
    run_until(minutes(15) + chaos_.jumped_back(), [this] { return clients_.all_over() && checks_.restless().empty(); });
    checks_.at_rest();
    land_.note("the daemon is asked to stop");
    daemon_.core().begin_stop(land_.rng.percent(50));
    run_until(minutes(10), [this] { return daemon_.core().quiet(); });
    checks_.at_end();
  }

  template <class Done>
  void run_until(Duration limit, Done done) {
    Time end = land_.now() + limit;
    while (land_.now() < end && !done()) {
      advance(std::min(end, next()));
      land_.agenda.run_due(land_.now());
      for (auto& [name, place] : land_.places) place->fake.deliver_all();
      land_.agenda.run_due(land_.now());
      if (auto due = daemon_.due(); due && *due <= land_.now()) {
        daemon_.step();
        checks_.after_step();
      }
      chaos_.after_step();
    }
  }

  Time next() const {
    Time t = Time::max();
    auto sooner = [&](std::optional<Time> other) {
      if (other && *other < t) t = *other;
    };
    sooner(land_.agenda.next());
    for (auto& [name, place] : land_.places) sooner(place->fake.next_due());
    sooner(daemon_.due());
    return std::max(t, land_.now());
  }

  void advance(Time to) {
    Duration passed = to - land_.now();
    for (auto& [name, place] : land_.places)
      if (!daemon_.up() || store_.full || place->down) place->excused += passed;
    land_.clock.set(to);
  }

  Home home_;
  MemoryStore memory_;
  Land land_;
  RecordingStore store_;
  Daemon daemon_;
  Clients clients_;
  Checks checks_;
  Chaos chaos_;
};

}  // namespace

Outcome simulate(const Order& order) {
  std::signal(SIGABRT, on_abort);
  return Simulation(order).run();
}

std::string report(const Order& order, const Outcome& o) {
  std::string text;
  for (const auto& line : o.last) text += line + "\n";
  text += fmt::format("\nseed {} broke an invariant at step {}, event {}\n  {}\n  {}\n", order.seed, o.steps, o.events,
                      o.invariant, o.what);
  return text + fmt::format("Above are its last {} events. Again: make simulate SEED={}", o.last.size(), order.seed);
}

}  // namespace mayfly::sim
