// status, pools, jobs, builders: what there is, in columns or as JSON.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/read.h"
#include "cli/waits.h"
#include "model/json.h"

namespace mayfly {
namespace {

namespace json = boost::json;

// Asks, prints the answer as it is with --json, or hands it to `show`.
template <class Show>
int ask(Call& call, const std::string& path, Show show) {
  auto address = find_daemon(call.line.connection, call.environment);
  if (!address) return call.usage(address.error());
  Api api(std::move(*address));
  auto answer = api.get(path);
  if (!answer) return call.failed(answer.error());
  if (call.has("json")) return call.output.out(json::serialize(*answer) + "\n"), 0;
  return show(*answer, api);
}

std::string image_of(const json::object& pool) {
  auto digest = read_text(pool, "image_digest");
  auto image = read_text(pool, "image");
  std::string more = digest.substr(0, 19);
  if (auto version = read_text(pool, "version"); !version.empty()) more = version;
  if (auto rollout = read_text(pool, "rollout"); !rollout.empty()) more += ", " + rollout;
  return more.empty() ? image : fmt::format("{} ({})", image, more);
}

std::string problems(const json::array& pools) {
  std::string out;
  for (const auto& p : pools)
    if (p.is_object())
      if (auto problem = read_text(p.get_object(), "problem"); !problem.empty())
        out += fmt::format("Pool {} cannot start builders: {}\n", printable(read_text(p.get_object(), "name")),
                           printable(problem));
  return out;
}

std::string ago(Time t, Time now) { return t == Time{} ? "" : age(now - t); }

std::string lasted(const Job& j, Time now) {
  if (j.started_at == Time{}) return "";
  return format_duration((is_final(j.state) ? j.ended_at : now) - j.started_at);
}

std::string what(const Job& j) {
  if (!j.spec.name.empty()) return j.spec.name;
  if (!j.spec.command.empty()) return shorten(printable(shell_quote(j.spec.command)), 40);
  return "(script)";
}

std::string result_of(const Job& j) {
  if (j.state == JobState::queued) return shorten(printable(j.waiting.text), 60);
  if (!is_final(j.state) || j.state == JobState::succeeded) return "";
  if (!j.result.message.empty()) return shorten(printable(j.result.message), 60);
  return j.result.cause == JobCause::exited ? fmt::format("exit code {}", j.result.exit_code)
                                            : std::string(to_string(j.result.cause));
}

int show_jobs(Call& call, const json::object& answer) {
  std::vector<Job> jobs;
  std::string numbers;
  bool of_cis = false;
  for (const auto& o : read_objects(answer, "jobs")) {
    auto j = job_from_json(*o);
    if (!j) return call.failed(j.error());
    numbers += fmt::format("{}\n", j->id);
    of_cis |= !j->external.id.empty();
    jobs.push_back(std::move(*j));
  }
  std::vector<std::string> titles{"JOB", "STATE", "POOL", "BUILDER", "QUEUED", "TOOK", "WHAT", ""};
  if (of_cis) titles.insert(titles.end() - 2, "AT ITS CI");
  Table table(titles);
  auto now = SystemClock().now();
  for (const auto& j : jobs) {
    std::vector<std::string> row{std::to_string(j.id),
                                 std::string(to_string(j.state)),
                                 j.spec.pool.empty() ? "[" + join(j.spec.labels, " ") + "]" : j.spec.pool,
                                 j.builder,
                                 ago(j.queued_at, now),
                                 lasted(j, now),
                                 what(j),
                                 result_of(j)};
    if (of_cis)
      row.insert(row.end() - 2, j.external.id.empty() ? "" : fmt::format("{} {}", j.ci, shorten(j.external.id, 30)));
    table.add(std::move(row), 1, colour_of(j.state));
  }
  if (call.has("quiet")) return call.output.out(numbers), 0;
  if (numbers.empty()) return call.output.err("There are no such jobs.\n"), 0;
  call.output.out(table.text(call.output));
  return 0;
}

}  // namespace

int command_status(Call& call) {
  return ask(call, "/v1/status", [&](const json::object& answer, const Api& api) {
    auto now = SystemClock().now();
    auto started = from_micros(read_number(answer, "started_at"));
    auto pools = read_objects(answer, "pools");
    std::int64_t queued = 0, starting = 0, ready = 0, busy = 0, stopping = 0;
    Table table({"POOL", "QUEUED", "RUNNING", "READY", "STARTING", "STOPPING", "MAX", "IMAGE"});
    for (const auto* p : pools) {
      auto n = [&](std::string_view key) { return read_number(*p, key); };
      queued += n("queued"), starting += n("starting"), ready += n("ready"), busy += n("busy"),
          stopping += n("stopping");
      table.add({read_text(*p, "name"), std::to_string(n("queued")), std::to_string(n("busy")),
                 std::to_string(n("ready")), std::to_string(n("starting")), std::to_string(n("stopping")),
                 std::to_string(n("max")), image_of(*p)});
    }
    std::string text =
        fmt::format("The daemon at {} has been up {}.\n", api.address().server.name(), rough_duration(now - started));
    text += fmt::format("{} running, {} queued; {} ready, {} starting, {} stopping.\n", busy, queued, ready, starting,
                        stopping);
    if (auto notice = read_text(answer, "notice"); !notice.empty())
      text += call.output.paint(printable(notice), Output::Colour::bad) + "\n";
    if (auto* a = answer.if_contains("pools"); a && a->is_array())
      text += call.output.paint(problems(a->get_array()), Output::Colour::bad);
    if (!pools.empty()) text += "\n" + table.text(call.output);
    for (const auto* p : pools)
      if (auto waits = waits_text(*p, now, "  "); !waits.empty())
        text += fmt::format("\nWhy jobs of pool {} wait:\n{}", printable(read_text(*p, "name")), waits);
    call.output.out(text);
    return 0;
  });
}

int command_pools(Call& call) {
  return ask(call, "/v1/pools", [&](const json::object& answer, const Api&) {
    Table table({"POOL", "IMAGE", "PLATFORM", "WARM", "MAX", "NETWORK", "PROBLEM"});
    std::string names;
    for (const auto* p : read_objects(answer, "pools")) {
      names += printable(read_text(*p, "name")) + "\n";
      table.add(
          {read_text(*p, "name"), image_of(*p), read_text(*p, "platform"), std::to_string(read_number(*p, "warm")),
           std::to_string(read_number(*p, "max")), read_text(*p, "network"), read_text(*p, "problem")},
          6, Output::Colour::bad);
    }
    if (call.has("quiet")) return call.output.out(names), 0;
    if (names.empty())
      return call.output.err("There are no pools. The daemon's configuration names them; see `mayfly init`.\n"), 0;
    call.output.out(table.text(call.output));
    return 0;
  });
}

int command_jobs(Call& call) {
  auto limit = call.number("limit", 20, 1, 1000);
  if (!limit) return call.usage(limit.error());
  auto before = call.number("before", 0, 1, INT64_MAX);
  if (!before) return call.usage(before.error());
  std::string path = fmt::format("/v1/jobs?limit={}", *limit);
  if (call.has("state")) {
    auto name = call.value("state");
    if (!job_state_from(name)) {
      auto near =
          nearest(name, {"queued", "assigned", "running", "succeeded", "failed", "cancelled", "timed_out", "lost"});
      std::string next = near ? fmt::format("Did you mean {}?", *near) : "See `mayfly jobs --help`.";
      if (name.find('/') != std::string::npos)
        next = fmt::format("To name the daemon's state directory write `mayfly --state {} jobs`.", name);
      return call.usage({ErrorCode::invalid, fmt::format("'{}' is no state of a job", name), "--state", next});
    }
    path += "&state=" + name;
  }
  if (call.has("pool")) path += "&pool=" + url_encode(call.value("pool"));
  if (*before > 0) path += fmt::format("&before={}", *before);
  return ask(call, path, [&](const json::object& answer, const Api&) { return show_jobs(call, answer); });
}

int command_builders(Call& call) {
  return ask(call, call.has("all") ? "/v1/builders?gone=true" : "/v1/builders",
             [&](const json::object& answer, const Api&) {
               Table table({"BUILDER", "STATE", "POOL", "PLATFORM", "JOB", "SINCE", "CAUSE"});
               std::string names;
               auto now = SystemClock().now();
               for (const auto* o : read_objects(answer, "builders")) {
                 auto b = builder_from_json(*o);
                 if (!b) return call.failed(b.error());
                 names += printable(b->id) + "\n";
                 auto colour = b->state == BuilderState::busy    ? Output::Colour::busy
                               : b->state == BuilderState::lost  ? Output::Colour::bad
                               : b->state == BuilderState::ready ? Output::Colour::good
                                                                 : Output::Colour::plain;
                 table.add({b->id, std::string(to_string(b->state)), b->pool, b->platform,
                            b->job == 0 ? "" : std::to_string(b->job), ago(b->requested_at, now), b->cause},
                           1, colour);
               }
               if (call.has("quiet")) return call.output.out(names), 0;
               if (names.empty()) return call.output.err("There are no builders.\n"), 0;
               call.output.out(table.text(call.output));
               return 0;
             });
}

}  // namespace mayfly
