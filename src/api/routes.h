#pragma once
// The table of everything the API answers. The router, the checks of parameters and the OpenAPI document all come from
// it, so none can say what another does not.
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/backend.h"
#include "api/endings.h"
#include "model/state_paths.h"
#include "net/http.h"

namespace mayfly::api {

struct Services {
  Backend& backend;
  StatePaths paths;
  std::string version;
  std::shared_ptr<Endings> endings;
};

// One request on its way through a handler.
struct Call {
  const Services& services;
  net::Request& request;
  std::shared_ptr<net::Reply> reply;
  JobId id = 0;      // of a path with {id}
  std::string name;  // of a path with {name}
  std::string ci;    // of a path with {ci}

  std::string text(const std::string& parameter) const;
  bool flag(const std::string& parameter) const;
  std::uint64_t number(const std::string& parameter, std::uint64_t missing) const;
};

enum class ParameterType { text, number, flag, job_state, log_format, version };
struct Parameter {
  std::string name;
  ParameterType type;
  std::string summary;
  std::uint64_t max = INT64_MAX;  // of a number
};

enum class BodyKind { none, job, upload, release, config, report, webhook };
struct Route {
  std::string method, path, name, summary;  // path: "/v1/jobs/{id}"; name: OpenAPI's operationId
  std::vector<Parameter> parameters;
  BodyKind body = BodyKind::none;
  int status = 200;
  std::string schema;  // of the answer, in the OpenAPI document; "binary" for bytes
  std::string type = "application/json";
  bool open = false;  // needs no token
  std::function<void(Call&)> handle;
};

const std::vector<Route>& routes();

struct Match {
  const Route* route = nullptr;
  JobId id = 0;
  std::string name, ci;
};
// The route for a request, with its parameters checked against the table.
tl::expected<Match, net::Refusal> match(const std::string& method, const net::Target& target);

inline constexpr std::uint64_t max_job_body = 8u << 20;
inline constexpr std::uint64_t max_webhook = 1u << 20;  // it says that one job waits
inline constexpr std::uint64_t max_upload = 4ull << 30;

// A job as the body of POST /v1/jobs says it.
Result<JobRequest> parse_submission(std::string_view body);
// How it ended, as the body of POST /v1/jobs/{id}/report says it.
Result<CiReport> parse_report(std::string_view body);
// A release as the body of POST /v1/images/{name}/versions says it.
Result<ReleaseRequest> parse_release(std::string_view body, std::string image);

// A configuration as the body of POST /v1/plan and /v1/apply says it.
struct ConfigSubmission {
  ConfigSource source;
  std::string plan;
  bool strand = false;
};
Result<ConfigSubmission> parse_config_submission(std::string_view body);
bool is_upload_id(std::string_view id);

}  // namespace mayfly::api
