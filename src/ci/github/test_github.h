#pragma once
// For tests of ci/github only: a GitHub that behaves as docs.github.com says ("REST API endpoints for self-hosted
// runners", "… workflow runs", "… workflow jobs", "… GitHub App installations", "… webhooks"): accounts, pages by Link,
// ETags, rate limits. Answers carry members that we do not know, and nulls wherever the documentation allows them.
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/json.hpp>

#include "base/clock.h"
#include "ci/github/test_http.h"
#include "ci/github/test_key.h"

namespace mayfly::github::test {

namespace json = boost::json;

class FakeGithub {
 public:
  struct Job {
    std::int64_t id = 0, run = 0;
    std::string repository = "acme/site", status = "queued", conclusion = {}, runner = {};
    std::vector<std::string> labels;
    Time queued_at{};
  };
  struct Runner {
    std::string name;
    bool busy = false;
    std::vector<std::string> labels;
    std::int64_t group = 1;
  };
  struct Delivery {
    std::int64_t id = 0;
    std::string guid, event = "workflow_job";
    int status = 200;
    Time at{};
  };
  enum class Fault {
    none,
    throttled,
    limit_reached,
    secondary_limit,
    server_error,
    hangs,
    not_json,
    truncated,
    empty,
    odd
  };

  FakeGithub();
  std::string url(const std::string& place) const { return http_.url() + "/" + place; }

  // What a test sets up and looks at; take the lock for it.
  std::mutex mutex;
  const Key* app_key = &one_key(0);       // making one takes a tenth of a second
  std::set<std::string> tokens{"pat-1"};  // good ones, personal and of installations
  int tokens_made = 0;
  Duration token_life = std::chrono::hours(1), ahead{};  // of the server's clock
  std::map<std::int64_t, Job> jobs;
  std::map<std::int64_t, Runner> runners;
  std::map<std::string, std::int64_t> groups{{"Default", 1}, {"GPU machines", 7}};
  std::vector<std::string> repositories{"acme/site"};
  std::vector<Delivery> deliveries;
  std::set<std::int64_t> redelivered;
  std::vector<std::string> statuses;  // "acme/site COMMIT state context description"
  Fault fault = Fault::none;
  std::string lose_reply_to;           // of the next request to a path that ends like this: done, then 502
  std::vector<std::string> asked;      // "GET /repos/…", prefix and query left out
  int requests = 0, remaining = 4999;  // of 5,000 in the hour
  int unchanged = 0;                   // answers with 304

  std::int64_t runner_named(const std::string& name);  // 0: there is none
  static const Key& one_key(int which) {
    static const Key keys[2];
    return keys[which];
  }
  Time now() const { return SystemClock().now() + ahead; }

 private:
  std::optional<Answer> handle(const Asked& asked);
  Answer answer(const Asked& asked);
  std::optional<Answer> refuse(const Asked& asked);
  Answer route(const Asked& asked, const std::string& path);
  Answer about_runners(const Asked& asked, const std::string& rest);
  Answer make_runner(const Asked& asked);
  Answer about_runs(const Asked& asked, const std::string& repository, const std::string& rest);
  Answer token(const std::string& path);
  Answer set_status(const Asked& asked, const std::string& repository, const std::string& commit);
  Answer about_deliveries(const Asked& asked, const std::string& rest);
  Answer page(const Asked& asked, const std::string& name, const std::vector<json::value>& all);
  bool is_app(const std::string& bearer);
  std::string run_status(std::int64_t run) const;

  std::int64_t next_runner_ = 20;
  HttpServerForTests http_;  // last: it is the first to stop
};

}  // namespace mayfly::github::test
