#pragma once
// A world whose pool takes its jobs from a CI that exists only as values.
#include "ci/fake/fake_ci.h"
#include "control/core_world_test.h"

namespace mayfly {

// A builder that gets its job starts the CI's agent, which registers with its credential, takes what comes, and ends.
class CiTestWorld : public World {
 public:
  FakeCiWorld ci_world;
  std::vector<FakeCiWorld*> ci_worlds{&ci_world};  // an agent takes jobs where it is registered
  CiOutcome outcome = CiOutcome::succeeded;
  Duration takes = seconds(10);
  bool takes_jobs = true;
  std::map<std::string, std::string> agents_env;

  CiTestWorld() {
    pool().ci = "fake";
    fake.outcome = [this](const agent::Assign& a) {
      agents_env = a.env;
      auto credential = a.secrets.find("FAKE_CI_CREDENTIAL");
      if (credential == a.secrets.end()) return FakeOutcome{.result = {JobCause::exited, 9, 0, {}}};
      std::string prefix = "credential-of-";
      EXPECT_EQ(credential->second.substr(0, prefix.size()), prefix);
      if (takes_jobs)
        for (auto* world : ci_worlds)
          if (auto id = world->take_any(credential->second.substr(prefix.size())); !id.empty()) {
            std::scoped_lock lock(mutex_);
            runs_[a.job] = {world, id};
          }
      return FakeOutcome{.takes = takes};
    };
    fake.on_finish = [this](const BuilderId&, const agent::Finished& f) {
      std::scoped_lock lock(mutex_);
      if (auto run = runs_.find(f.job); run != runs_.end())
        run->second.first->end(run->second.second, outcome, clock.now());
    };
    cis["p"] = std::make_shared<FakeCi>(ci_world);
  }
  // `run` for as long as the CI is polled: it never comes to rest by itself.
  void pass(Duration d) { run(d); }
  std::vector<Job> jobs() { return core().jobs({}).value(); }
  Job only_job() {
    auto all = jobs();
    EXPECT_EQ(all.size(), 1u);
    return all.empty() ? Job() : all.front();
  }
  std::set<std::string> kinds() {
    std::set<std::string> out;
    auto entries = store.ledger(1, 100'000, {}).value();
    for (const auto& e : entries) out.insert(e.kind);
    return out;
  }

 private:
  std::mutex mutex_;
  std::map<JobId, std::pair<FakeCiWorld*, std::string>> runs_;
};

inline CiJob pending(const std::string& id) {
  return {.id = id, .url = "https://ci.example/" + id, .name = "build " + id, .queued_at = from_micros(5)};
}

}  // namespace mayfly
