#pragma once
// GitHub's JSON as values. Tolerant of everything that its documentation allows and does not say: unknown members,
// nulls, any order, numbers where text is expected. What a value must have to be of use is checked; all else stays
// empty.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/value.hpp>

#include "base/clock.h"
#include "base/result.h"

namespace mayfly::github {

namespace json = boost::json;

// One job of a workflow run: of the API's lists and of the webhook `workflow_job`.
struct WorkflowJob {
  std::int64_t id = 0, run_id = 0, run_attempt = 0;
  std::string repository;  // "acme/site"; lists do not say it, so the caller does
  std::string name, workflow;
  std::string status;      // queued, in_progress, completed, waiting, pending, requested, …
  std::string conclusion;  // once completed: success, failure, cancelled, skipped, timed_out, …
  std::vector<std::string> labels;
  std::int64_t runner_id = 0;
  std::string runner_name;
  std::string url;  // of its page
  Time created_at{}, started_at{}, completed_at{};

  Time latest() const;  // the last moment that it tells of
};

struct WorkflowRun {
  std::int64_t id = 0;
  std::string status;
  Time updated_at{};
};

struct Runner {
  std::int64_t id = 0;
  std::string name;
  bool online = false, busy = false;
  std::vector<std::string> labels;
};

struct JitRunner {
  Runner runner;
  std::string config;  // a secret: whoever has it is this runner
};

struct Delivery {
  std::int64_t id = 0;
  std::string guid, event, action;
  Time delivered_at{};
  int status_code = 0;
  bool redelivery = false;
  bool ok() const { return status_code >= 200 && status_code < 300; }
};

struct InstallationToken {
  std::string token;
  Time expires_at{};
};

// One JSON text, at most 32 levels deep. A byte-order mark is skipped.
Result<json::value> parse(std::string_view text);

// Elements that have no id are left out: there would be no way to speak of them.
Result<std::vector<WorkflowJob>> jobs_from(const json::value& list, const std::string& repository);
Result<std::vector<WorkflowRun>> runs_from(const json::value& list);
Result<std::vector<Runner>> runners_from(const json::value& list);
Result<std::vector<Delivery>> deliveries_from(const json::value& list);
Result<std::vector<std::string>> repositories_from(const json::value& list);  // "owner/name", archived ones left out
std::optional<WorkflowJob> job_from(const json::value& value, const std::string& repository);
Result<JitRunner> jit_runner_from(const json::value& value);
Result<InstallationToken> installation_token_from(const json::value& value);

// The id of the runner group of this name (case-insensitively) in one page of the list, if it is there.
std::optional<std::int64_t> runner_group_from(const json::value& list, std::string_view name);

// "message", and what its "errors" add; at most 300 bytes, without control characters. Empty where it has none.
std::string message_from(std::string_view body);

// RFC 3339, with or without a fraction, "Z" or an offset.
std::optional<Time> parse_time(std::string_view text);

// Members of an object, or nothing where it is none, they are missing, null or of another type.
std::string text_of(const json::value& object, std::string_view name);
std::int64_t number_of(const json::value& object, std::string_view name);
const json::value* member_of(const json::value& object, std::string_view name);

// The target of the Link header's rel="next", if there is one.
std::optional<std::string> next_link(std::string_view header);

}  // namespace mayfly::github
