// Commands that need no daemon: up, doctor, init, config, version.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "cli/commands.h"
#include "cli/connection.h"
#include "model/json.h"

namespace mayfly {
namespace {

namespace json = boost::json;

int cannot(Call& call) {
  return call.failed(
      {ErrorCode::unsupported, fmt::format("this program was built without `mayfly {}`", call.command().name), {}, {}});
}

std::string_view to_string(DoctorCheck::Status s) {
  switch (s) {
    case DoctorCheck::Status::ok:
      return "ok";
    case DoctorCheck::Status::warning:
      return "warning";
    case DoctorCheck::Status::missing:
      return "missing";
  }
  return "missing";
}

}  // namespace

int command_up(Call& call) {
  if (!call.environment.up) return cannot(call);
  UpRequest request;
  request.config = call.value("config");
  request.state = state_directory(call.value("state"), call.environment);
  request.log_level = call.value("log-level");
  if (!request.log_level.empty() && request.log_level != "debug" && request.log_level != "info" &&
      request.log_level != "warning" && request.log_level != "error")
    return call.usage({ErrorCode::invalid,
                       fmt::format("'{}' is none of debug, info, warning, error", request.log_level),
                       "--log-level",
                       {}});
  return call.environment.up(request);
}

int command_doctor(Call& call) {
  if (!call.environment.doctor) return cannot(call);
  auto checks = call.environment.doctor();
  int missing = 0, warnings = 0;
  json::array array;
  Table table({"CHECK", "", "FOUND"});
  std::string advice;
  for (const auto& c : checks) {
    missing += c.status == DoctorCheck::Status::missing;
    warnings += c.status == DoctorCheck::Status::warning;
    json::object o{{"name", c.name}, {"status", to_string(c.status)}, {"found", c.found}};
    if (!c.advice.empty()) o["advice"] = c.advice;
    array.push_back(std::move(o));
    auto colour = c.status == DoctorCheck::Status::ok ? Output::Colour::good : Output::Colour::bad;
    table.add({c.name, std::string(to_string(c.status)), c.found}, 1, colour);
    if (!c.advice.empty()) advice += fmt::format("{}: {}\n", c.name, c.advice);
  }
  if (call.has("json")) {
    call.output.out(json::serialize(json::object{{"checks", array}, {"fit", missing == 0}}) + "\n");
    return missing == 0 ? 0 : exit_failed;
  }
  call.output.out(table.text(call.output));
  if (!advice.empty()) call.output.out("\n" + advice);
  call.output.out(
      missing > 0 ? fmt::format("\nThis host cannot run builders: {} of {} checks failed.\n", missing, checks.size())
      : warnings > 0
          ? fmt::format("\nThis host can run builders, with {} limitation{}.\n", warnings, warnings == 1 ? "" : "s")
          : "\nThis host can run builders.\n");
  return missing == 0 ? 0 : exit_failed;
}

int command_init(Call& call) {
  if (!call.environment.init) return cannot(call);
  auto directory = call.line.operands.empty() ? std::string(".") : call.line.operands[0];
  auto files = call.environment.init(directory);
  if (!files) return call.failed(files.error());
  if (call.has("json")) {
    json::array written;
    for (const auto& f : *files) written.emplace_back(f);
    return call.output.out(json::serialize(json::object{{"written", written}}) + "\n"), 0;
  }
  for (const auto& f : *files) call.output.out(fmt::format("Wrote {}\n", f));
  call.output.out("Look into them, then start the daemon with `mayfly up`.\n");
  return 0;
}

int command_config_check(Call& call) {
  if (!call.environment.check_config) return cannot(call);
  auto file = call.line.operands.empty() ? std::string("mayfly.yaml") : call.line.operands[0];
  auto summary = call.environment.check_config(file);
  if (!summary) return call.failed(summary.error());
  call.output.out(*summary + "\n");
  return 0;
}

int command_config_schema(Call& call) {
  if (!call.environment.schema) return cannot(call);
  auto text = call.environment.schema();
  if (!text.ends_with('\n')) text += '\n';
  call.output.out(text);
  return 0;
}

int command_version(Call& call) {
  const auto& version = call.environment.version;
  call.output.out(call.has("json") ? json::serialize(json::object{{"version", version}, {"api", "v1"}}) + "\n"
                                   : fmt::format("mayfly {}\n", version));
  return 0;
}

}  // namespace mayfly
