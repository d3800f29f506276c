// rollout list, pause, resume, rollback, promote.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/read.h"
#include "model/json.h"

namespace mayfly {
namespace {

namespace json = boost::json;

std::string state_of(const PoolVersions& p) {
  if (!p.rollout) return "";
  return std::string(to_string(p.rollout->state)) + (p.rollout->paused ? ", paused" : "");
}

std::string failures(const VersionTally& t) { return fmt::format("{} of {}", t.failed, t.jobs); }

Output::Colour colour_of(const PoolVersions& p) {
  if (!p.rollout) return Output::Colour::plain;
  return p.rollout->state == RolloutState::promoted      ? Output::Colour::good
         : p.rollout->state == RolloutState::rolled_back ? Output::Colour::bad
         : is_over(p.rollout->state)                     ? Output::Colour::quiet
                                                         : Output::Colour::busy;
}

int show(Call& call, const std::vector<const json::object*>& pools) {
  Table table({"POOL", "IMAGE", "ON", "TO", "STATE", "SINCE", "FAILED NEW", "FAILED OLD", "WHY"});
  auto now = SystemClock().now();
  for (const auto* o : pools) {
    auto p = pool_versions_from_json(*o);
    if (!p) return call.failed(p.error());
    const auto r = p->rollout.value_or(Rollout());
    auto text = [&](std::string t) { return p->rollout ? t : ""; };
    table.add({p->pool, p->image, p->current ? p->current->text() : "none", text(r.to.text()), state_of(*p),
               text(age(now - r.state_at)), text(failures(r.new_tally)), text(failures(r.old_tally)), r.why},
              4, colour_of(*p));
  }
  if (pools.empty()) return call.output.err("No pool follows an image's versions.\n"), 0;
  call.output.out(table.text(call.output));
  return 0;
}

int command_rollout_list(Call& call) {
  auto address = find_daemon(call.line.connection, call.environment);
  if (!address) return call.usage(address.error());
  auto answer = Api(std::move(*address)).get("/v1/rollouts");
  if (!answer) return call.failed(answer.error());
  if (call.has("json")) return call.output.out(json::serialize(*answer) + "\n"), 0;
  return show(call, read_objects(*answer, "rollouts"));
}

int command_rollout_change(Call& call) {
  auto address = find_daemon(call.line.connection, call.environment);
  if (!address) return call.usage(address.error());
  auto verb = call.command().name.substr(call.command().name.find(' ') + 1);
  auto answer =
      Api(std::move(*address)).post(fmt::format("/v1/rollouts/{}/{}", url_encode(call.line.operands[0]), verb));
  if (!answer) return call.failed(answer.error());
  if (call.has("json")) return call.output.out(json::serialize(*answer) + "\n"), 0;
  return show(call, {&*answer});
}

}  // namespace

std::vector<Command> rollout_commands() {
  const Option json_option{"json", 0, {}, "Print JSON, for scripts"};
  auto change = [&](std::string_view name, std::string_view summary, std::string_view example) {
    return Command{.name = name,
                   .operands = "POOL",
                   .least = 1,
                   .most = 1,
                   .summary = summary,
                   .options = {json_option},
                   .examples = {example},
                   .run = command_rollout_change,
                   .completes = Completes::pool};
  };
  return {
      {.name = "rollout list",
       .summary = "Show which version each pool stands on, and where it is moving to",
       .options = {json_option},
       .examples = {"mayfly rollout list"},
       .run = command_rollout_list},
      change("rollout pause",
             "Keep a pool's rollout in its state; it is still rolled back if the new version turns out bad",
             "mayfly rollout pause general"),
      change("rollout resume", "Let a paused rollout go on, or try once more what was rolled back",
             "mayfly rollout resume general"),
      change("rollout rollback", "Return a pool to the version that it came from", "mayfly rollout rollback general"),
      change("rollout promote", "Let a pool stand on its new version now, proven or not",
             "mayfly rollout promote general")};
}

}  // namespace mayfly
