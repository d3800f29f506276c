// The connector against the suite that holds for all, signed in by token and by service principal.
#include "tests/contract/ci_contract.h"

#include <fmt/format.h>

#include "ci/azure_devops/stand_in_test.h"

namespace mayfly {
namespace {

using namespace testing_support;
using namespace azure_devops;

class AzureBench final : public CiBench {
 public:
  explicit AzureBench(Account (*account)(const std::string&)) : account_(account(server_.url())) { restart(); }
  Ci& ci() override { return *ci_; }
  void restart() override { ci_ = std::make_unique<AzureDevOps>(account_, secrets_, log_); }
  void queue(const std::string& id) override {
    server_.tell("queue", {{"id", std::stoi(id)}, {"demands", {"docker", "os -equals debian 12"}}});
  }
  void queue_for_others(const std::string& id) override {
    server_.tell("queue", {{"id", std::stoi(id)}, {"demands", {"docker", "gpu"}}});
  }
  bool take(const std::string& runner, const std::string& id) override {
    return server_.tell("take", {{"runner", runner}, {"id", id}})["ok"].as_bool();
  }
  void end(const std::string& id, CiOutcome outcome) override {
    server_.tell("end", {{"id", id},
                         {"outcome", outcome == CiOutcome::succeeded   ? "succeeded"
                                     : outcome == CiOutcome::failed    ? "failed"
                                     : outcome == CiOutcome::cancelled ? "cancelled"
                                                                       : "abandoned"}});
  }
  void vanish(const std::string& id) override { server_.tell("vanish", {{"id", id}}); }
  void fault(CiServerFault fault) override {
    static constexpr const char* names[] = {"none",     "throttled", "limit_reached", "server_error",       "hangs",
                                            "not_json", "truncated", "empty",         "credential_expired", "odd"};
    server_.tell("set", {{"fault", names[static_cast<int>(fault)]}});
  }
  std::vector<std::string> registered() override {
    std::vector<std::string> names;
    auto state = server_.state();
    for (const auto& a : state["agents"].as_array())
      if (auto name = a.as_object().at("name").as_string(); name != placeholder) names.emplace_back(name);
    return names;
  }
  void register_stranger(const std::string& name) override { server_.tell("register", {{"name", name}}); }
  std::vector<std::string> statuses() override {
    std::vector<std::string> out;
    auto state = server_.state();
    for (const auto& s : state["statuses"].as_array()) out.emplace_back(s.as_string());
    return out;
  }
  CommitStatus status_of_commit() override {
    return {"acme/the site", std::string(40, 'c'), "mayfly/tool", {}, "building"};
  }
  std::string word_of(CommitState s) override {
    return s == CommitState::pending     ? "pending"
           : s == CommitState::succeeded ? "succeeded"
           : s == CommitState::failed    ? "failed"
                                         : "error";
  }
  int requests() override { return static_cast<int>(server_.state()["seen"].as_array().size()); }
  void skew(Duration ahead) override {
    server_.tell("set", {{"skew", std::chrono::duration_cast<seconds>(ahead).count()}});
  }
  void rotate_credential() override {
    auto fresh = fmt::format("a-new-credential-{:030}", ++rotations_);
    bool by_token = account_.client_secret_secret.empty();
    server_.tell("rotate", {{by_token ? "pat" : "client_secret", fresh}});
    secrets_.values[by_token ? "pat" : "entra"] = fresh + "\n";
  }
  Delivery delivery_of(const std::string&) override { return {}; }

 private:
  StandIn server_;
  KnownSecrets secrets_;
  int rotations_ = 0;
  Log log_{LogLevel::error};
  Account account_;
  std::unique_ptr<Ci> ci_;
};

INSTANTIATE_TEST_SUITE_P(AzureDevOps, CiContract,
                         testing::Values(CiUnderTest{"token", [] { return std::make_unique<AzureBench>(with_token); }},
                                         CiUnderTest{"service_principal",
                                                     [] { return std::make_unique<AzureBench>(with_entra); }}),
                         ci_test_name);

}  // namespace
}  // namespace mayfly
