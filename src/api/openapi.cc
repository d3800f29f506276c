// The OpenAPI 3.0 document: paths from the table of routes, schemas from the lists below. A test holds the lists
// against what to_json writes.
#include <boost/json.hpp>

#include "api/routes.h"
#include "api/shapes.h"
#include "base/text.h"

namespace mayfly::api {
namespace json = boost::json;
namespace {

// "name:type" each, "!" behind it where the member is always there. Types: s string, i integer, b boolean, m object of
// strings, [x] array of x, and names of other schemas.
json::object schema_of(std::string_view type) {
  if (type == "s") return {{"type", "string"}};
  if (type == "i") return {{"type", "integer"}, {"format", "int64"}};
  if (type == "b") return {{"type", "boolean"}};
  if (type == "m") return {{"type", "object"}, {"additionalProperties", json::object{{"type", "string"}}}};
  if (type.front() == '[') return {{"type", "array"}, {"items", schema_of(type.substr(1, type.size() - 2))}};
  return {{"$ref", "#/components/schemas/" + std::string(type)}};
}

json::object object_schema(std::string_view members) {
  json::object properties;
  json::array required;
  for (const auto& member : split(members, ' ')) {
    std::string_view view(member);
    bool always = view.back() == '!';
    if (always) view.remove_suffix(1);
    auto colon = view.find(':');
    properties[view.substr(0, colon)] = schema_of(view.substr(colon + 1));
    if (always) required.emplace_back(view.substr(0, colon));
  }
  json::object out{{"type", "object"}, {"properties", std::move(properties)}};
  if (!required.empty()) out["required"] = std::move(required);
  return out;
}

json::object schemas() {
  json::object out;
  auto add = [&](std::string_view name, std::string_view members) { out[name] = object_schema(members); };
  add("ErrorDetail", "code:s! what:s! where:s next:s");
  add("Error", "error:ErrorDetail!");
  add("JobSpec",
      "pool:s labels:[s] name:s command:[s] script:s env:m secrets:[s] timeout_us:i priority:i input:s output:s "
      "repeatable:b "
      "submitter:s one_time_secrets:[s]");
  add("Submission",
      "pool:s labels:[s] name:s command:[s] script:s env:m secrets:[s] timeout_us:i priority:i input:s output:s "
      "repeatable:b "
      "submitter:s idempotency_key:s one_time_secrets:m ci:s external:CiRecord");
  add("Report", "outcome:s! result:s");
  add("WebhookTaken", "pools:i!");
  add("Reason", "code:s! text:s! since:i until:i");
  add("CiRecord", "id:s! url:s name:s runner:s taken:b result:s queued_at:i started_at:i ended_at:i");
  add("JobResult", "cause:s! exit_code:i! signal:i message:s");
  add("Job",
      "id:i! state:s! spec:JobSpec! ci:s! external:CiRecord attempt:i! lost_on:s waiting:Reason builder:s "
      "image_digest:s "
      "timeout_us:i grace_us:i cancel_requested:b idempotency_key:s queued_at:i assigned_at:i started_at:i ended_at:i "
      "result:JobResult log_bytes:i log_truncated:b image_version:s");
  add("JobList", "jobs:[Job]!");
  add("Builder",
      "id:s! pool:s! platform:s! image:s! image_digest:s! state:s! warm:b! job:i cause:s shape:s requested_at:i "
      "ready_at:i "
      "stopping_at:i gone_at:i image_version:s");
  add("ImageVersion",
      "image:s! version:s! digest:s! reference:s! state:s! released_by:s! approved_by:[s]! commit:s withdrawn_why:s "
      "released_at:i withdrawn_at:i published_digest:s bytes:i swept_at:i builder_digest:s bases:m");
  add("Publication",
      "image:s! version:s! repository:s! state:s! channels:[s]! attempts:i! problem:s next_try:i published_at:i");
  add("Release", "reference:s! version:s level:s commit:s");
  add("VersionUse", "version:s! pools:[s]! failed_jobs:[i]!");
  add("Image",
      "name:s! recipe:s! channels:m! versions:[ImageVersion]! publications:[Publication]! uses:[VersionUse]! held:m! "
      "base_note:s!");
  add("VersionTally", "launched:i! ready:i! jobs:i! failed:i! failed_starts:i!");
  add("Rollout",
      "from:s! to:s! state:s! paused:b! asked:b! why:s! old:VersionTally! new:VersionTally! by:s started_at:i "
      "state_at:i ended_at:i");
  add("PoolVersions", "pool:s! image:s! refused:[s]! current:s rollout:Rollout");
  add("PoolVersionsList", "rollouts:[PoolVersions]!");
  add("ImageList", "images:[Image]!");
  add("BuilderList", "builders:[Builder]!");
  add("BuildFinding", "error:b! check:s! what:s!");
  add("BuildApproval", "who:s! digest:s! at:i!");
  add("ImageBuild",
      "id:i! image:s! ref:s! release:b! trigger:s! state:s! approvals_needed:i! bytes:i! by:s commit:s message:s "
      "content:s problem:s builder_digest:s digest:s reference:s fingerprint:s version:s build_job:i try_job:i "
      "same_as:i authors:[s]! bases:m! registry_bases:m! reason:s findings:[BuildFinding]! approvals:[BuildApproval]! "
      "queued_at:i started_at:i "
      "ended_at:i report:s commit_status:s");
  add("ImageBuildList", "builds:[ImageBuild]!");
  add("LedgerEntry", "seq:i! at:i! kind:s! subject:s! detail:s! previous:s! hash:s!");
  add("LedgerEntryList", "entries:[LedgerEntry]!");
  add("LedgerCheck", "entries:i! head:s!");
  add("Explanation", "job:Job! story:[LedgerEntry]! ahead:[Job]! ahead_total:i!");
  add("Pool",
      "name:s! image:s! image_digest:s! version:s! rollout:s! platform:s! warm:i! max:i! network:s! problem:s! "
      "queued:i! starting:i! "
      "ready:i! busy:i! stopping:i! waits:[PoolWait]!");
  add("PoolWait", "reason:Reason! jobs:i!");
  add("NumberSource", "number:s! value:i! entry:s! since:i");
  add("PoolStart", "builder:s! at:i! took_us:i problem:s");
  add("PoolExplanation", "pool:Pool! numbers:[NumberSource]! numbers_until:i starts:[PoolStart]! builders:[Builder]!");
  add("PoolList", "pools:[Pool]!");
  add("Status", "started_at:i! notice:s! pools:[Pool]!");
  add("ConfigSubmission", "text:s file:s plan:s strand:b");
  add("ConfigValue", "key:s! before:s! after:s!");
  add("ConfigItem", "kind:s! what:s! name:s! values:[ConfigValue]! effects:[s]! at_restart:b!");
  add("StrandedJob", "job:i! pool:s! why:s!");
  add("ConfigPlan",
      "plan:s! file:s! own_file:b! summary:s! changes:[ConfigItem]! stranded:[StrandedJob]! drained:i! applies:b!");
  add("Upload", "upload:s! bytes:i!");
  add("Version", "version:s! api:s!");
  add("Health", "ok:b!");
  out["Any"] = json::object{{"type", "object"}};
  return out;
}

json::object parameter_of(const Parameter& p) {
  json::object schema = schema_of(p.type == ParameterType::number ? "i" : p.type == ParameterType::flag ? "b" : "s");
  if (p.type == ParameterType::number) {
    schema["minimum"] = 0;
    if (p.max != INT64_MAX) schema["maximum"] = p.max;
  }
  if (p.type == ParameterType::log_format) schema["enum"] = json::array{"raw", "framed"};
  if (p.type == ParameterType::job_state) {
    json::array names;
    for (int s = 0; s <= static_cast<int>(JobState::lost); ++s) names.emplace_back(to_string(static_cast<JobState>(s)));
    schema["enum"] = std::move(names);
  }
  return {{"name", p.name}, {"in", "query"}, {"description", p.summary}, {"schema", std::move(schema)}};
}

json::object content(const std::string& type, json::object schema) {
  return {{type, json::object{{"schema", std::move(schema)}}}};
}

json::object operation_of(const Route& r) {
  json::object binary{{"type", "string"}, {"format", "binary"}};
  json::array parameters;
  for (const char* name : {"id", "ci", "name"})
    if (r.path.find(std::string("{") + name + "}") != std::string::npos)
      parameters.emplace_back(json::object{{"name", name},
                                           {"in", "path"},
                                           {"required", true},
                                           {"schema", schema_of(name == std::string("id") ? "i" : "s")}});
  for (const auto& p : r.parameters) parameters.emplace_back(parameter_of(p));
  auto answer = content(r.type, r.schema == "binary" ? binary : schema_of(r.schema));
  if (r.name == "getLog") answer["application/vnd.mayfly.log"] = json::object{{"schema", binary}};
  json::object responses{{std::to_string(r.status), json::object{{"description", r.summary}, {"content", answer}}},
                         {"default", json::object{{"description", "What went wrong, and what to do next"},
                                                  {"content", content("application/json", schema_of("Error"))}}}};
  if (r.name == "waitForJob") responses["202"] = json::object{{"description", "Not ended yet"}, {"content", answer}};
  json::object out{{"operationId", r.name},
                   {"summary", r.summary},
                   {"parameters", std::move(parameters)},
                   {"responses", std::move(responses)}};
  if (r.open) out["security"] = json::array{};
  if (r.body == BodyKind::job)
    out["requestBody"] =
        json::object{{"required", true}, {"content", content("application/json", schema_of("Submission"))}};
  if (r.body == BodyKind::config)
    out["requestBody"] =
        json::object{{"required", true}, {"content", content("application/json", schema_of("ConfigSubmission"))}};
  if (r.body == BodyKind::release)
    out["requestBody"] =
        json::object{{"required", true}, {"content", content("application/json", schema_of("Release"))}};
  if (r.body == BodyKind::report)
    out["requestBody"] =
        json::object{{"required", true}, {"content", content("application/json", schema_of("Report"))}};
  if (r.body == BodyKind::webhook)
    out["requestBody"] = json::object{{"required", true}, {"content", content("*/*", binary)}};
  if (r.body == BodyKind::upload)
    out["requestBody"] = json::object{{"required", true}, {"content", content("application/x-tar", binary)}};
  return out;
}

}  // namespace

json::object openapi(const std::string& version) {
  json::object paths;
  for (const auto& r : routes()) {
    auto& item = paths[r.path];
    if (!item.is_object()) item = json::object{};
    std::string method;
    for (char c : r.method) method += static_cast<char>(c - 'A' + 'a');
    item.get_object()[method] = operation_of(r);
  }
  json::object bearer{
      {"type", "http"}, {"scheme", "bearer"}, {"description", "Over TCP; the unix socket knows its users"}};
  return {{"openapi", "3.0.3"},
          {"info", json::object{{"title", "Mayfly"},
                                {"version", version},
                                {"description", "Times are microseconds since the Unix epoch, UTC."}}},
          {"security", json::array{json::object{{"bearer", json::array{}}}}},
          {"paths", std::move(paths)},
          {"components",
           json::object{{"schemas", schemas()}, {"securitySchemes", json::object{{"bearer", std::move(bearer)}}}}}};
}

}  // namespace mayfly::api
