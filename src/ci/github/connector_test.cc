// The connector behind the port: the suite that holds for every CI.
#include "ci/github/test_world.h"
#include "tests/contract/ci_contract.h"

namespace mayfly::github {
namespace {

using test::FakeGithub;
using test::World;

class Bench final : public testing_support::CiBench {
 public:
  explicit Bench(bool app) : world_(app) {}
  Ci& ci() override { return *world_.ci; }
  void restart() override { world_.make(); }
  void queue(const std::string& id) override { lock(), world_.queue(std::stoll(id)); }
  void queue_for_others(const std::string& id) override {
    lock(), world_.queue(std::stoll(id), {"self-hosted", "windows"});
  }
  bool take(const std::string& runner, const std::string& id) override {
    auto guard = lock();
    auto r = world_.server.runner_named(runner);
    auto j = world_.server.jobs.find(std::stoll(id));
    if (r == 0 || j == world_.server.jobs.end() || j->second.status != "queued") return false;
    world_.server.runners[r].busy = true;
    j->second.status = "in_progress";
    j->second.runner = runner;
    return true;
  }
  void end(const std::string& id, CiOutcome outcome) override {
    auto guard = lock();
    auto& j = world_.server.jobs.at(std::stoll(id));
    j.status = "completed";
    j.conclusion = outcome == CiOutcome::succeeded ? "success" : outcome == CiOutcome::failed ? "failure" : "cancelled";
    world_.server.runners.erase(world_.server.runner_named(j.runner));  // just-in-time ones go by themselves
  }
  void vanish(const std::string& id) override { lock(), world_.server.jobs.erase(std::stoll(id)); }
  void fault(testing_support::CiServerFault f) override {
    using F = testing_support::CiServerFault;
    using G = FakeGithub::Fault;
    auto guard = lock();
    static const std::map<F, G> faults{{F::none, G::none},
                                       {F::throttled, G::throttled},
                                       {F::limit_reached, G::limit_reached},
                                       {F::server_error, G::server_error},
                                       {F::hangs, G::hangs},
                                       {F::not_json, G::not_json},
                                       {F::truncated, G::truncated},
                                       {F::empty, G::empty},
                                       {F::odd, G::odd}};
    world_.server.fault = faults.contains(f) ? faults.at(f) : G::none;
    if (f == F::credential_expired) world_.server.tokens.clear();
    if (f == F::none) world_.server.tokens.insert("pat-1");
  }
  std::vector<std::string> registered() override {
    auto guard = lock();
    std::vector<std::string> out;
    for (const auto& [id, r] : world_.server.runners) out.push_back(r.name);
    return out;
  }
  void register_stranger(const std::string& name) override {
    lock(), world_.server.runners[static_cast<std::int64_t>(world_.server.runners.size()) + 5000] = {name, false, {}};
  }
  std::vector<std::string> statuses() override {
    auto guard = lock();
    return world_.server.statuses;
  }
  std::string word_of(CommitState s) override {
    return s == CommitState::pending     ? "pending"
           : s == CommitState::succeeded ? "success"
           : s == CommitState::failed    ? "failure"
                                         : "error";
  }
  int requests() override {
    auto guard = lock();
    return world_.server.requests;
  }
  void skew(Duration ahead) override { lock(), world_.server.ahead = ahead; }
  void rotate_credential() override {
    auto guard = lock();
    rotated_ = !rotated_;
    world_.server.app_key = &FakeGithub::one_key(rotated_);
    world_.secrets.values["key"] = world_.server.app_key->pem();
    auto token = rotated_ ? "pat-2" : "pat-1";
    world_.server.tokens = {token};
    world_.secrets.values["pat"] = token;
  }
  Delivery delivery_of(const std::string& id) override {
    auto guard = lock();
    auto [headers, body] = world_.notice(std::stoll(id), "queued", "guid-" + id);
    return {headers, body};
  }

 private:
  std::unique_lock<std::mutex> lock() { return std::unique_lock(world_.server.mutex); }
  World world_;
  bool rotated_ = false;
};

}  // namespace
}  // namespace mayfly::github

namespace mayfly::testing_support {
INSTANTIATE_TEST_SUITE_P(GitHub, CiContract,
                         testing::Values(CiUnderTest{"token", [] { return std::make_unique<github::Bench>(false); }},
                                         CiUnderTest{"app", [] { return std::make_unique<github::Bench>(true); }}),
                         ci_test_name);
}  // namespace mayfly::testing_support
