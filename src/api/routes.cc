#include "api/routes.h"

#include <charconv>

#include <fmt/format.h>

#include "api/handlers.h"
#include "base/text.h"

namespace mayfly::api {
namespace {

using P = ParameterType;

Route rollout_route(const std::string& verb, const char* name, const char* summary, RolloutOrder order) {
  return {"POST",
          "/v1/rollouts/{name}/" + verb,
          name,
          summary,
          {},
          BodyKind::none,
          200,
          "PoolVersions",
          "application/json",
          false,
          [order](Call& call) { change_rollout(call, order); }};
}

std::vector<Route> make_routes() {
  return {
      {"POST",
       "/v1/uploads",
       "upload",
       "Upload a tar to unpack into a job's workspace",
       {},
       BodyKind::upload,
       201,
       "Upload",
       "application/json",
       false,
       upload},
      {"POST",
       "/v1/jobs",
       "submitJob",
       "Submit a job",
       {},
       BodyKind::job,
       201,
       "Job",
       "application/json",
       false,
       submit},
      {"GET",
       "/v1/jobs",
       "listJobs",
       "Jobs, newest first",
       {{"state", P::job_state, "only jobs in this state"},
        {"ended", P::flag, "only jobs that have, or have not, ended"},
        {"pool", P::text, "only jobs of this pool"},
        {"limit", P::number, "at most so many", 1000},
        {"before", P::number, "only ids below: the last id of the page before"}},
       BodyKind::none,
       200,
       "JobList",
       "application/json",
       false,
       list_jobs},
      {"GET", "/v1/jobs/{id}", "getJob", "One job", {}, BodyKind::none, 200, "Job", "application/json", false, get_job},
      {"GET",
       "/v1/jobs/{id}/log",
       "getLog",
       "A job's output, as it comes",
       {{"offset", P::number, "the first byte to send"},
        {"follow", P::flag, "go on until the job has ended and all was sent"},
        {"format", P::log_format, "raw, or framed with the stream and offset of each piece"}},
       BodyKind::none,
       200,
       "binary",
       "application/octet-stream",
       false,
       get_log},
      {"GET",
       "/v1/jobs/{id}/output",
       "getOutput",
       "The directory that a job packed at its end",
       {},
       BodyKind::none,
       200,
       "binary",
       "application/x-tar",
       false,
       get_output},
      {"POST",
       "/v1/jobs/{id}/cancel",
       "cancelJob",
       "Cancel a job",
       {},
       BodyKind::none,
       200,
       "Job",
       "application/json",
       false,
       cancel},
      {"POST",
       "/v1/jobs/{id}/report",
       "reportJob",
       "How a job that a CI sent ended there; ends it here. Only by whoever submitted it",
       {},
       BodyKind::report,
       200,
       "Job",
       "application/json",
       false,
       report},
      {"POST",
       "/v1/webhooks/{ci}/{name}",
       "receiveWebhook",
       "A notification of a CI, signed as that CI does; needs no token",
       {},
       BodyKind::webhook,
       202,
       "WebhookTaken",
       "application/json",
       true,
       webhook},
      {"GET",
       "/v1/jobs/{id}/wait",
       "waitForJob",
       "The job once it has ended, or 202 and the job as it is at the timeout",
       {{"timeout_ms", P::number, "how long to wait", 60'000}},
       BodyKind::none,
       200,
       "Job",
       "application/json",
       false,
       wait},
      {"GET",
       "/v1/jobs/{id}/explain",
       "explainJob",
       "What happened to a job, and what it waits for",
       {},
       BodyKind::none,
       200,
       "Explanation",
       "application/json",
       false,
       explain},
      {"GET",
       "/v1/builders",
       "listBuilders",
       "Builders",
       {{"gone", P::flag, "those that are gone, too"}},
       BodyKind::none,
       200,
       "BuilderList",
       "application/json",
       false,
       list_builders},
      {"GET",
       "/v1/pools",
       "listPools",
       "Pools",
       {},
       BodyKind::none,
       200,
       "PoolList",
       "application/json",
       false,
       list_pools},
      {"GET",
       "/v1/pools/{name}/explain",
       "explainPool",
       "Why a pool has the builders that it has, and what its jobs wait for",
       {},
       BodyKind::none,
       200,
       "PoolExplanation",
       "application/json",
       false,
       explain_pool},
      {"GET",
       "/v1/status",
       "getStatus",
       "The daemon and its pools",
       {},
       BodyKind::none,
       200,
       "Status",
       "application/json",
       false,
       get_status},
      {"POST",
       "/v1/drain",
       "drain",
       "Start nothing new, let running jobs finish, then end the daemon",
       {},
       BodyKind::none,
       200,
       "Status",
       "application/json",
       false,
       drain},
      {"POST",
       "/v1/plan",
       "planConfig",
       "What a configuration would change",
       {},
       BodyKind::config,
       200,
       "ConfigPlan",
       "application/json",
       false,
       plan_config},
      {"POST",
       "/v1/apply",
       "applyConfig",
       "Put a configuration into force, without a restart",
       {},
       BodyKind::config,
       200,
       "ConfigPlan",
       "application/json",
       false,
       apply_config},
      {"GET",
       "/v1/images",
       "listImages",
       "Images and their versions",
       {},
       BodyKind::none,
       200,
       "ImageList",
       "application/json",
       false,
       list_images},
      {"GET",
       "/v1/images/{name}",
       "getImage",
       "One image and its versions, the highest first",
       {},
       BodyKind::none,
       200,
       "Image",
       "application/json",
       false,
       get_image},
      {"POST",
       "/v1/images/{name}/versions",
       "releaseImage",
       "Release what was built as a version; answered once its digest is known",
       {},
       BodyKind::release,
       201,
       "ImageVersion",
       "application/json",
       false,
       release_image},
      {"POST",
       "/v1/images/{name}/rollback",
       "rollBackImage",
       "Return to an earlier version: withdraws those above it",
       {{"to", P::version, "the version to return to; the one before the highest when not given"}},
       BodyKind::none,
       200,
       "Image",
       "application/json",
       false,
       rollback_image},
      {"POST",
       "/v1/images/{name}/publish",
       "publishImage",
       "Try now what is not in every registry yet, without waiting for its time",
       {},
       BodyKind::none,
       200,
       "Image",
       "application/json",
       false,
       publish_image},
      {"GET",
       "/v1/rollouts",
       "listRollouts",
       "Where pools stand between the versions of their images",
       {},
       BodyKind::none,
       200,
       "PoolVersionsList",
       "application/json",
       false,
       list_rollouts},
      rollout_route("pause", "pauseRollout", "Keep a pool's rollout in its state", RolloutOrder::pause),
      rollout_route("resume", "resumeRollout", "Let it go on; or try once more what was rolled back",
                    RolloutOrder::resume),
      rollout_route("rollback", "rollBackPool", "Return a pool to the version that it came from",
                    RolloutOrder::rollback),
      rollout_route("promote", "promoteRollout", "Let a pool stand on its new version now, proven or not",
                    RolloutOrder::promote),
      {"POST",
       "/v1/images/{name}/builds",
       "buildImage",
       "Build an image from its recipe in git",
       {{"ref", P::text, "a branch, a proposed change or a commit; the branch that it is released from when not given"},
        {"again", P::flag, "even where the same recipe was built before"}},
       BodyKind::none,
       201,
       "ImageBuild",
       "application/json",
       false,
       build_image},
      {"GET",
       "/v1/builds",
       "listBuilds",
       "Builds of images, newest first",
       {{"image", P::text, "only of this image"}, {"limit", P::number, "at most so many", 500}},
       BodyKind::none,
       200,
       "ImageBuildList",
       "application/json",
       false,
       list_builds},
      {"GET",
       "/v1/builds/{id}",
       "getBuild",
       "One build of an image",
       {},
       BodyKind::none,
       200,
       "ImageBuild",
       "application/json",
       false,
       get_build},
      {"GET",
       "/v1/builds/{id}/log",
       "getBuildLog",
       "What a build on the daemon's own host wrote so far; one in a builder has its job's log",
       {},
       BodyKind::none,
       200,
       "binary",
       "application/octet-stream",
       false,
       get_build_log},
      {"POST",
       "/v1/builds/{id}/approve",
       "approveBuild",
       "Approve a build; its author cannot",
       {},
       BodyKind::none,
       200,
       "ImageBuild",
       "application/json",
       false,
       approve_build},
      {"POST",
       "/v1/builds/{id}/cancel",
       "cancelBuild",
       "Cancel a build",
       {},
       BodyKind::none,
       200,
       "ImageBuild",
       "application/json",
       false,
       cancel_build},
      {"GET",
       "/v1/ledger",
       "listLedger",
       "The ledger's entries, in order",
       {{"from", P::number, "the first number to list"},
        {"limit", P::number, "at most so many", 10'000},
        {"subject", P::text, "only entries about this, for example job/17"}},
       BodyKind::none,
       200,
       "LedgerEntryList",
       "application/json",
       false,
       list_ledger},
      {"GET",
       "/v1/ledger/verification",
       "verifyLedger",
       "Checks the whole ledger",
       {},
       BodyKind::none,
       200,
       "LedgerCheck",
       "application/json",
       false,
       verify_ledger},
      {"GET",
       "/v1/openapi.json",
       "getOpenApi",
       "This description",
       {},
       BodyKind::none,
       200,
       "Any",
       "application/json",
       false,
       get_openapi},
      {"GET",
       "/v1/version",
       "getVersion",
       "The daemon's version",
       {},
       BodyKind::none,
       200,
       "Version",
       "application/json",
       false,
       get_version},
      {"GET",
       "/healthz",
       "getHealth",
       "Whether the daemon answers",
       {},
       BodyKind::none,
       200,
       "Health",
       "application/json",
       true,
       get_health},
  };
}

bool is_placeholder(std::string_view part) { return part == "{id}" || part == "{name}" || part == "{ci}"; }

// The segment that stands where the path has this placeholder.
std::string placed(const Route& route, const net::Target& target, std::string_view placeholder) {
  auto parts = split(std::string_view(route.path).substr(1), '/');
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (parts[i] == placeholder) return target.segments[i];
  return {};
}

bool fits(const Route& route, const std::vector<std::string>& segments) {
  auto wanted = split(std::string_view(route.path).substr(1), '/');
  if (wanted.size() != segments.size()) return false;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (!is_placeholder(wanted[i]) && wanted[i] != segments[i]) return false;
  return true;
}

std::optional<std::uint64_t> read_number(std::string_view text) {
  std::uint64_t n = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (text.empty() || ec != std::errc() || end != text.data() + text.size() || n > INT64_MAX) return std::nullopt;
  return n;
}

tl::unexpected<net::Refusal> refuse(int status, ErrorCode code, std::string what, std::string where,
                                    std::string next = {},
                                    std::vector<std::pair<std::string, std::string>> headers = {}) {
  return tl::unexpected(
      net::Refusal{status, Error{code, std::move(what), std::move(where), std::move(next)}, std::move(headers)});
}

// The path as it would have to be written, with the asker's own id in place.
std::optional<std::string> nearest_path(const net::Target& target) {
  std::vector<std::string> candidates;
  for (const auto& route : routes()) {
    auto parts = split(std::string_view(route.path).substr(1), '/');
    for (std::size_t i = 0; i < parts.size(); ++i)
      if (is_placeholder(parts[i]) && i < target.segments.size()) parts[i] = target.segments[i];
    candidates.push_back("/" + join(parts, "/"));
  }
  return nearest(target.path, candidates);
}

std::string wrong_value(const Parameter& p, const std::string& value) {
  switch (p.type) {
    case P::text:
      return {};
    case P::flag:
      return value == "true" || value == "false" || value.empty() ? "" : "true or false";
    case P::number: {
      auto n = read_number(value);
      return n && *n <= p.max ? "" : fmt::format("a whole number up to {}", p.max);
    }
    case P::job_state:
      return job_state_from(value) ? "" : "the name of a job's state, such as queued or succeeded";
    case P::version:
      return SemVer::parse(value) ? "" : "a version such as 2.4.1";
    case P::log_format:
      return value == "raw" || value == "framed" ? "" : "raw or framed";
  }
  return {};
}

tl::expected<void, net::Refusal> check_parameters(const Route& route, const net::Target& target) {
  for (const auto& [name, value] : target.query) {
    const Parameter* known = nullptr;
    std::vector<std::string> names;
    for (const auto& p : route.parameters) {
      names.push_back(p.name);
      if (p.name == name) known = &p;
    }
    if (!known) {
      auto near = nearest(name, names);
      return refuse(400, ErrorCode::invalid, fmt::format("unknown query parameter '{}'", name), route.path,
                    near            ? fmt::format("Did you mean '{}'?", *near)
                    : names.empty() ? "It takes none."
                                    : fmt::format("Known: {}.", join(names, ", ")));
    }
    if (auto expected = wrong_value(*known, value); !expected.empty())
      return refuse(400, ErrorCode::invalid,
                    fmt::format("the query parameter '{}' is '{}', but must be {}", name, value, expected), route.path);
  }
  return {};
}

}  // namespace

const std::vector<Route>& routes() {
  static const std::vector<Route> table = make_routes();  // constant: nothing ever changes it
  return table;
}

tl::expected<Match, net::Refusal> match(const std::string& method, const net::Target& target) {
  std::vector<std::string> allowed;
  for (const auto& route : routes()) {
    if (!fits(route, target.segments)) continue;
    if (route.method != method && !(route.method == "GET" && method == "HEAD")) {
      allowed.push_back(route.method);
      continue;
    }
    Match found{&route, 0, {}, placed(route, target, "{ci}")};
    if (route.path.find("{name}") != std::string::npos) {
      found.name = placed(route, target, "{name}");
      if (!is_dns_label(found.name))
        return refuse(400, ErrorCode::invalid, fmt::format("'{}' cannot be a name", found.name), target.path,
                      "Names are of a-z, 0-9 and '-'.");
    }
    if (route.path.find("{id}") != std::string::npos) {
      auto id = read_number(target.segments[2]);
      if (!id || *id == 0)
        return refuse(400, ErrorCode::invalid, fmt::format("'{}' is not an id", target.segments[2]), target.path,
                      "Ids are whole numbers from 1 on.");
      found.id = *id;
    }
    if (auto checked = check_parameters(route, target); !checked) return tl::unexpected(checked.error());
    return found;
  }
  if (!allowed.empty()) {
    auto list = join(allowed, ", ");
    return refuse(405, ErrorCode::invalid, fmt::format("{} is not possible here", method), target.path,
                  fmt::format("Use {}.", list), {{"Allow", list}});
  }
  auto near = nearest_path(target);
  return refuse(404, ErrorCode::not_found, "there is no such path", target.path,
                near ? fmt::format("Did you mean {}?", *near) : "GET /v1/openapi.json lists them all.");
}

std::string Call::text(const std::string& parameter) const {
  auto found = request.target.query.find(parameter);
  return found == request.target.query.end() ? std::string() : found->second;
}

bool Call::flag(const std::string& parameter) const {
  auto found = request.target.query.find(parameter);
  return found != request.target.query.end() && found->second != "false";  // "?follow" says it, too
}

std::uint64_t Call::number(const std::string& parameter, std::uint64_t missing) const {
  return read_number(text(parameter)).value_or(missing);
}

}  // namespace mayfly::api
