// explain POOL: why it has the builders that it has, and what its jobs wait for.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/text.h"
#include "cli/commands.h"
#include "cli/connection.h"
#include "cli/read.h"
#include "cli/waits.h"

namespace mayfly {
namespace {

namespace json = boost::json;

std::string opening(const json::object& pool) {
  auto digest = read_text(pool, "image_digest");
  return fmt::format("Pool {} starts builders from {}{} on {}, with network {}.\n", printable(read_text(pool, "name")),
                     printable(read_text(pool, "image")),
                     digest.empty() ? " (not made ready yet)" : fmt::format(" ({})", printable(digest.substr(0, 19))),
                     printable(read_text(pool, "platform")), printable(read_text(pool, "network")));
}

std::string numbers(const json::object& answer, Time now) {
  std::string text = "Now:";
  const char* before = " ";
  for (const auto* n : read_objects(answer, "numbers")) {
    auto entry = read_text(*n, "entry");
    text += fmt::format("{}{} {}", std::exchange(before, ", "), printable(read_text(*n, "number")),
                        read_number(*n, "value"));
    if (!entry.empty())
      text += fmt::format(" (by the schedule's \"{}\", for {})", printable(entry),
                          rough_duration(now - from_micros(read_number(*n, "since"))));
  }
  text += ".\n";
  if (auto until = from_micros(read_number(answer, "numbers_until")); until > now)
    text +=
        fmt::format("The schedule's next time comes in {} ({}).\n", rough_duration(until - now), format_time(until));
  return text;
}

std::string builders(const json::object& pool) {
  auto n = [&](std::string_view key) { return read_number(pool, key); };
  auto text = fmt::format("Builders: {} busy, {} ready, {} starting, {} stopping.\n", n("busy"), n("ready"),
                          n("starting"), n("stopping"));
  if (auto rollout = read_text(pool, "rollout"); !rollout.empty())
    text += fmt::format("Its version{}{}: {}.\n", read_text(pool, "version").empty() ? "" : " ",
                        printable(read_text(pool, "version")), printable(rollout));
  if (auto problem = read_text(pool, "problem"); !problem.empty())
    text += fmt::format("It cannot start builders: {}\n", printable(problem));
  return text;
}

std::string starts(const json::object& answer, Time now, const Output& output) {
  auto all = read_objects(answer, "starts");
  if (all.empty()) return "No builder was started since the daemon is up.\n";
  Table table({"STARTED", "WHEN", "RESULT"});
  for (const auto* s : all) {
    auto problem = read_text(*s, "problem");
    table.add({read_text(*s, "builder"), age(now - from_micros(read_number(*s, "at"))),
               problem.empty() ? "ready after " + format_duration(Duration(read_number(*s, "took_us")))
                               : "failed: " + shorten(printable(problem), 100)},
              2, problem.empty() ? Output::Colour::plain : Output::Colour::bad);
  }
  return "\n" + table.text(output);
}

}  // namespace

int explain_pool(Call& call) {
  auto address = find_daemon(call.line.connection, call.environment);
  if (!address) return call.usage(address.error());
  Api api(std::move(*address));
  auto answer = api.get("/v1/pools/" + url_encode(call.line.operands.front()) + "/explain");
  if (!answer) return call.failed(answer.error());
  if (call.has("json")) return call.output.out(json::serialize(*answer) + "\n"), 0;
  auto now = SystemClock().now();
  auto* pool = answer->if_contains("pool");
  if (!pool || !pool->is_object()) return call.failed({ErrorCode::internal, "the daemon's answer names no pool"});
  const auto& p = pool->get_object();
  auto waits = waits_text(p, now, "  ");
  if (waits.empty())
    waits = "No job waits.\n";
  else
    waits = "Jobs wait:\n" + waits;
  call.output.out(opening(p) + numbers(*answer, now) + builders(p) + waits + starts(*answer, now, call.output));
  return 0;
}

}  // namespace mayfly
