// plan, apply: what another configuration would change, and changing it.
#include <unistd.h>

#include <filesystem>
#include <functional>

#include <fmt/format.h>

#include <boost/json.hpp>

#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/read.h"
#include "os/file.h"

namespace mayfly {
namespace {

namespace json = boost::json;

constexpr std::size_t config_limit = 2 << 20;  // the daemon's own limit is lower, and has the better message
constexpr int exit_changes = 2;

bool flag(const json::object& o, std::string_view key) {
  auto* v = o.if_contains(key);
  return v && v->is_bool() && v->get_bool();
}

Result<json::object> submission(Call& call) {
  json::object body;
  if (call.line.operands.empty()) return body;
  const auto& file = call.line.operands.front();
  MAYFLY_ASSIGN(auto text, os::read_file(file, config_limit));
  std::error_code ec;
  auto absolute = std::filesystem::absolute(file, ec).lexically_normal().string();
  if (ec) return fail(ErrorCode::unavailable, "the working directory is gone: " + ec.message(), file);
  body["text"] = text;
  body["file"] = absolute;
  return body;
}

Result<Api> api_of(Call& call) {
  MAYFLY_ASSIGN(auto address, find_daemon(call.line.connection, call.environment));
  return Api(std::move(address));
}

// "  ~ pool general", and below it each value and each effect.
void add_item(std::string& text, const json::object& item, const Output& output) {
  auto kind = read_text(item, "kind"), name = read_text(item, "name");
  auto colour = kind == "added" ? Output::Colour::good : kind == "removed" ? Output::Colour::bad : Output::Colour::busy;
  auto sign = kind == "added" ? "+" : kind == "removed" ? "-" : "~";
  text +=
      output.paint(fmt::format("  {} {}{}", sign, read_text(item, "what"), name.empty() ? "" : " " + printable(name)),
                   colour) +
      "\n";
  auto values = read_objects(item, "values");
  std::size_t width = 0;
  for (const auto* v : values) width = std::max(width, display_width(read_text(*v, "key")));
  for (const auto* v : values) {
    auto key = printable(read_text(*v, "key")), before = printable(read_text(*v, "before")),
         after = printable(read_text(*v, "after"));
    std::string shown = kind == "added"     ? after
                        : kind == "removed" ? before
                                            : fmt::format("{} → {}", before.empty() ? "(none)" : before,
                                                          after.empty() ? "(none)" : after);
    if (kind != "changed" && shown.empty()) continue;  // of a whole pool only what it says
    text += fmt::format("      {}{}  {}\n", key, std::string(width - std::min(width, display_width(key)), ' '), shown);
  }
  if (auto* effects = item.if_contains("effects"); effects && effects->is_array())
    for (const auto& e : effects->get_array())
      if (e.is_string())
        text +=
            output.paint(fmt::format("      → {}\n", printable(std::string(e.get_string()))), Output::Colour::quiet);
}

std::string shown(const json::object& plan, const Output& output) {
  auto items = read_objects(plan, "changes");
  auto file = printable(read_text(plan, "file"));
  if (items.empty()) return fmt::format("Nothing changes: {} says what is in force.\n", file);
  std::string now, later;
  for (const auto* item : items) add_item(flag(*item, "at_restart") ? later : now, *item, output);
  std::string text;
  if (!now.empty()) text += fmt::format("{} changes what is in force:\n\n{}\n", file, now);
  if (!later.empty()) text += fmt::format("What waits for the daemon's next start:\n\n{}\n", later);
  auto stranded = read_objects(plan, "stranded");
  for (std::size_t i = 0; i < stranded.size() && i < 20; ++i)
    text += output.paint(fmt::format("  ! job {} would be stranded: {}", read_number(*stranded[i], "job"),
                                     printable(read_text(*stranded[i], "why"))),
                         Output::Colour::bad) +
            "\n";
  if (stranded.size() > 20)
    text += output.paint(fmt::format("  ! and {} jobs more", stranded.size() - 20), Output::Colour::bad) + "\n";
  if (!stranded.empty()) text += "\n";
  return text + fmt::format("In short: {}.\n", printable(read_text(plan, "summary")));
}

bool agrees(Call& call) {
  call.output.out("\nApply this? Only 'yes' does: ");
  std::string line;
  for (char c = 0; line.size() < 100 && ::read(call.environment.in, &c, 1) == 1 && c != '\n';) line += c;
  return line == "yes";
}

// What has to be true before the plan that was shown is sent back; else why not.
Result<void> may_apply(Call& call, const json::object& plan) {
  if (!flag(plan, "applies"))
    return fail(ErrorCode::conflict, "all of this waits for a restart of the daemon; there is nothing to apply", {});
  if (!read_objects(plan, "stranded").empty() && !call.has("strand-jobs"))
    return fail(ErrorCode::conflict, "queued jobs would be stranded; nothing was changed", {},
                "Cancel them, let them finish first, or say --strand-jobs.");
  if (call.has("yes")) return {};
  if (call.has("json") || !::isatty(call.environment.in))
    return fail(ErrorCode::conflict, "nobody is there to agree; nothing was changed", {}, "Say --yes.");
  if (!agrees(call)) return fail(ErrorCode::conflict, "nothing was changed", {});
  return {};
}

int apply_it(Call& call, Api& api, json::object body, const json::object& plan) {
  body["plan"] = read_text(plan, "plan");
  body["strand"] = call.has("strand-jobs");
  auto done = api.post("/v1/apply", json::serialize(body));
  if (!done) return call.failed(done.error());
  if (call.has("json")) return call.output.out(json::serialize(*done) + "\n"), 0;
  call.output.out("Applied.\n");
  if (!flag(*done, "own_file"))
    call.output.remark(
        "this is not the file that the daemon was started with, and its next start will read that one: "
        "put the change there too");
  return 0;
}

// Asks the daemon what the file would change.
int with_plan(Call& call, const std::function<int(Api&, json::object, const json::object&)>& then) {
  auto body = submission(call);
  if (!body) return call.failed(body.error());
  auto api = api_of(call);
  if (!api) return call.usage(api.error());
  auto plan = api->post("/v1/plan", json::serialize(*body));
  if (!plan) return call.failed(plan.error());
  return then(*api, std::move(*body), *plan);
}

}  // namespace

int command_plan(Call& call) {
  return with_plan(call, [&](Api&, json::object, const json::object& plan) {
    call.output.out(call.has("json") ? json::serialize(plan) + "\n" : shown(plan, call.output));
    return call.has("exit-code") && !read_objects(plan, "changes").empty() ? exit_changes : 0;
  });
}

int command_apply(Call& call) {
  return with_plan(call, [&](Api& api, json::object body, const json::object& plan) {
    bool nothing = read_objects(plan, "changes").empty();
    if (!call.has("json"))
      call.output.out(shown(plan, call.output));
    else if (nothing)
      call.output.out(json::serialize(plan) + "\n");
    if (nothing) return 0;
    if (auto may = may_apply(call, plan); !may) return call.failed(may.error());
    return apply_it(call, api, std::move(body), plan);
  });
}

std::vector<Command> config_change_commands() {
  const Option as_json{"json", 0, {}, "Print JSON, for scripts"};
  std::vector<Command> out;
  out.push_back(
      {.name = "plan",
       .operands = "[FILE]",
       .most = 1,
       .summary = "Show what a configuration would change, and what that does to jobs and builders",
       .description =
           "FILE is compared with what is in force; without it, the file that the daemon was started with, as it is "
           "now. Nothing is changed.\n\n"
           "Exit code: 0; with --exit-code 2 if something would change; 1 the configuration is wrong, or the "
           "daemon cannot be asked.",
       .options = {{"exit-code", 0, {}, "Exit with 2 if something would change"}, as_json},
       .examples = {"mayfly plan", "mayfly plan new.yaml --exit-code"},
       .run = command_plan,
       .completes = Completes::file});
  out.push_back(
      {.name = "apply",
       .operands = "[FILE]",
       .most = 1,
       .summary = "Put a changed configuration into force, without a restart",
       .description =
           "Shows what `mayfly plan` shows and asks. Just that is applied: if the file or what is in force was changed "
           "meanwhile, nothing is. Idle builders that no longer fit are replaced; busy ones finish their jobs. A "
           "wrong configuration changes nothing.\n\n"
           "Without FILE the daemon reads its own file again, as it does on SIGHUP. A restart reads that file, "
           "whatever was applied from another.\n\n"
           "Exit code: 0 applied, or nothing to change; 1 refused.",
       .options = {{"yes", 'y', {}, "Do not ask"},
                   {"strand-jobs", 0, {}, "Apply even if queued jobs would wait for ever or fail"},
                   as_json},
       .examples = {"mayfly apply", "mayfly apply --yes", "mayfly apply new.yaml"},
       .run = command_apply,
       .completes = Completes::file});
  return out;
}

}  // namespace mayfly
