// simulate: reads the command line, asks the daemon for its history if that is wanted, and leaves the rest to the app.
#include <fmt/format.h>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/read.h"
#include "model/json.h"

namespace mayfly {
namespace {

constexpr std::int64_t page = 1000;  // jobs that the daemon gives at once

Result<std::vector<Job>> history(Call& call) {
  MAYFLY_ASSIGN(auto limit, call.number("limit", 10'000, 1, 5'000'000));
  MAYFLY_ASSIGN(auto address, find_daemon(call.line.connection, call.environment));
  Api api(std::move(address));
  std::vector<Job> jobs;
  for (JobId before = 0; limit > 0;) {
    auto path = fmt::format("/v1/jobs?ended=true&limit={}", std::min(limit, page));
    if (before > 0) path += fmt::format("&before={}", before);
    MAYFLY_ASSIGN(auto answer, api.get(path));
    auto found = read_objects(answer, "jobs");
    for (const auto* o : found) {
      MAYFLY_ASSIGN(auto job, job_from_json(*o));
      jobs.push_back(std::move(job));
    }
    if (static_cast<std::int64_t>(found.size()) < std::min(limit, page)) break;
    limit -= static_cast<std::int64_t>(found.size());
    before = jobs.back().id;
    call.output.progress(fmt::format("{} jobs of the history", jobs.size()));
  }
  call.output.progress("");
  if (jobs.empty()) return fail(ErrorCode::not_found, "the daemon has run no jobs yet", "--history");
  return jobs;
}

Result<std::optional<Duration>> time_option(const Call& call, std::string_view name) {
  if (!call.has(name)) return std::nullopt;
  auto d = parse_duration(call.value(name));
  if (!d) return fail(ErrorCode::invalid, d.error().what, fmt::format("--{}", name), d.error().next);
  return *d;
}

Unexpected wrong(std::string what, std::string where, std::string next = {}) {
  return fail(ErrorCode::invalid, std::move(what), std::move(where), std::move(next));
}

Result<void> one_source(const Call& call) {
  int sources = call.has("jobs") + call.has("trace") + call.has("history");
  if (sources == 0) return wrong("it needs jobs", "", "Give --jobs N, --trace FILE or --history.");
  if (sources > 1) return wrong("--jobs, --trace and --history exclude one another", "");
  for (auto name : {"at", "over", "duration"})
    if (call.has(name) && !call.has("jobs")) return wrong("it belongs to --jobs", fmt::format("--{}", name));
  if (call.has("limit") && !call.has("history")) return wrong("it belongs to --history", "--limit");
  if (call.has("at") && call.value("at") != "once")
    return wrong(fmt::format("'{}' is not 'once'", call.value("at")), "--at", "Use --over TIME for jobs one by one.");
  if (call.has("at") && call.has("over")) return wrong("--at and --over exclude each other", "");
  if (call.has("find") && !call.has("target")) return wrong("there is nothing to meet", "--find", "Give a --target.");
  if (call.has("find") && call.has("compare")) return wrong("--find and --compare exclude each other", "");
  return {};
}

Result<SimulateRequest> request_of(Call& call) {
  MAYFLY_TRY(one_source(call));
  SimulateRequest r;
  r.config = call.value("config"), r.compare = call.value("compare"), r.trace = call.value("trace");
  r.pool = call.value("pool"), r.target = call.value("target"), r.html = call.value("html");
  r.find = call.has("find"), r.json = call.has("json");
  MAYFLY_ASSIGN(auto jobs, call.number("jobs", 0, 1, 20'000'000));
  r.jobs = static_cast<std::size_t>(jobs);
  MAYFLY_ASSIGN(auto launches, call.number("launches", 0, 1, 100'000));
  if (launches > 0) r.launches = static_cast<int>(launches);
  MAYFLY_ASSIGN(auto over, time_option(call, "over"));
  MAYFLY_ASSIGN(auto duration, time_option(call, "duration"));
  r.over = over.value_or(Duration()), r.duration = duration.value_or(std::chrono::minutes(5));
  MAYFLY_ASSIGN(r.start, time_option(call, "start"));
  MAYFLY_ASSIGN(r.resolution, time_option(call, "resolution"));
  return r;
}

}  // namespace

int command_simulate(Call& call) {
  if (!call.environment.simulate)
    return call.failed({ErrorCode::unsupported, "this program was built without `mayfly simulate`", {}, {}});
  auto request = request_of(call);
  if (!request) return call.usage(request.error());
  if (call.has("history")) {
    auto jobs = history(call);
    if (!jobs) return call.failed(jobs.error());
    request->history = std::move(*jobs);
  }
  auto answer = call.environment.simulate(*request);
  if (!answer) return call.failed(answer.error(), answer.error().where == "--target" ? exit_usage : exit_failed);
  call.output.out(answer->text);
  return answer->met ? 0 : exit_failed;
}

}  // namespace mayfly
