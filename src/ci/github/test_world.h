#pragma once
// For tests of ci/github only: a connector as the daemon has it, and the GitHub that it talks to.
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/text.h"
#include "ci/github/connector.h"
#include "ci/github/test_github.h"

namespace mayfly::github::test {

class TestSecrets final : public SecretStore {
 public:
  std::map<std::string, std::string> values{{"hook", "It's a Secret to Everybody"}, {"pat", "pat-1"}};
  Result<std::string> get(const std::string& name) override {
    auto found = values.find(name);
    if (found == values.end()) return fail(ErrorCode::not_found, "no such secret", name);
    return found->second;
  }
};

struct World {
  FakeGithub server;
  TestSecrets secrets;
  SystemClock clock;
  std::map<std::string, std::string> keys;
  std::unique_ptr<Connectors> connectors;
  std::unique_ptr<Ci> ci;

  explicit World(bool app) : keys{{"url", server.url("acme")}, {"labels", "gpu, big"}, {"webhook_secret", "hook"}} {
    if (app)
      keys["app_id"] = "Iv1.app", keys["private_key"] = "key";
    else
      keys["token"] = "pat";
    secrets.values["key"] = server.app_key->pem();
    make();
  }
  void make() {
    connectors = std::make_unique<Connectors>(secrets, clock);
    auto made = connectors->make(keys);
    MAYFLY_CHECK(made);
    ci = std::move(*made);
  }
  FakeGithub::Job& queue(std::int64_t id, std::vector<std::string> labels = {"self-hosted", "GPU"}) {
    return server.jobs[id] = {.id = id, .run = id + 1'000'000, .labels = std::move(labels), .queued_at = server.now()};
  }
  std::string signature(std::string_view body) {
    unsigned char mac[32];
    unsigned n = 0;
    const auto& key = secrets.values["hook"];
    HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(body.data()),
         body.size(), mac, &n);
    return "sha256=" + to_hex({reinterpret_cast<char*>(mac), n});
  }
  using Headers = std::vector<std::pair<std::string, std::string>>;
  std::pair<Headers, std::string> notice(std::int64_t id, const char* action, const std::string& delivery) {
    const auto& j = server.jobs.at(id);
    json::object job{{"id", id},
                     {"run_id", j.run},
                     {"status", j.status},
                     {"labels", json::value_from(j.labels)},
                     {"runner_name", j.runner.empty() ? json::value(nullptr) : json::value(j.runner)},
                     {"conclusion", nullptr},
                     {"name", "build"},
                     {"created_at", format_time(j.queued_at)},
                     {"html_url", "https://github.com/acme/site/actions/runs/1/job/1"}};
    auto body = json::serialize(json::object{
        {"action", action}, {"workflow_job", job}, {"repository", {{"full_name", j.repository}}}, {"sender", nullptr}});
    return {
        {{"x-github-event", "workflow_job"}, {"x-github-delivery", delivery}, {"x-hub-signature-256", signature(body)}},
        body};
  }
};

}  // namespace mayfly::github::test
