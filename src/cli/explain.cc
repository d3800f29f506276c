// explain, audit: what happened, and why.
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

std::string value_text(const json::value& v) {
  if (auto* s = v.if_string()) return std::string(s->data(), s->size());
  return json::serialize(v);
}

// {"pool":"general","cause":"idle"} → "pool=general cause=idle"; times and the like stay as they are.
std::string detail_text(const std::string& detail) {
  auto o = parse_json_object(detail);
  if (!o) return detail;
  std::string out;
  for (const auto& [key, v] : *o) {
    auto text = value_text(v);
    if (text.empty()) continue;
    bool quoted = text.find(' ') != std::string::npos;
    out += fmt::format("{}{}={}{}{}", out.empty() ? "" : " ", std::string_view(key.data(), key.size()),
                       quoted ? "\"" : "", text, quoted ? "\"" : "");
  }
  return out;
}

std::string what(const Job& j) {
  if (!j.spec.command.empty()) return fmt::format("`{}`", shorten(printable(shell_quote(j.spec.command)), 70));
  return "a script";
}

std::string opening(const Job& j, Time now) {
  std::string name = j.spec.name.empty() ? "" : fmt::format(" \"{}\"", printable(j.spec.name));
  std::string by = j.spec.submitter.empty() ? "" : fmt::format(" by {}", printable(j.spec.submitter));
  std::string again = j.attempt > 1 ? fmt::format(" This is attempt {}", j.attempt) : "";
  if (!j.lost_on.empty())
    again +=
        fmt::format(", for builder {} was lost under the first: elsewhere, if another platform or pool has a place",
                    printable(j.lost_on));
  if (!again.empty()) again += ".";
  auto place = j.spec.pool.empty() ? "a pool with the labels " + join(j.spec.labels, ", ") : "pool " + j.spec.pool;
  return fmt::format("Job {}{} runs {} in {}. It was submitted{} {} ({}).{}\n", j.id, name, what(j), printable(place),
                     by, age(now - j.queued_at), format_time(j.queued_at), again);
}

// What its CI has of it, for whoever looks for it there.
std::string at_ci(const Job& j) {
  const auto& e = j.external;
  if (e.id.empty()) return "";
  auto text =
      fmt::format("At {} it is {}{}{}.", printable(j.ci), printable(e.id), e.url.empty() ? "" : ": ", printable(e.url));
  std::vector<std::string> times;
  for (auto [word, at] : {std::pair("queued", e.queued_at), {"started", e.started_at}, {"ended", e.ended_at}})
    if (at != Time{}) times.push_back(fmt::format("{} {}", word, format_time(at)));
  if (!times.empty()) text += fmt::format(" By its clock: {}.", join(times, ", "));
  if (!e.runner.empty())
    text += fmt::format(" Its builder {} {} there{}.", is_final(j.state) ? "was" : "is", printable(e.runner),
                        e.taken ? "" : ", and is not known to have taken it");
  if (!e.result.empty()) text += fmt::format(" It says: {}.", printable(e.result));
  return text + "\n";
}

std::string waiting(const json::object& answer, const Job& j, Time now) {
  auto text = fmt::format("It has been waiting {}", rough_duration(now - j.queued_at));
  text += fmt::format(
      ", because {} ({}; so for {}).\n", j.waiting.text.empty() ? "it was not planned yet" : printable(j.waiting.text),
      to_string(j.waiting.code), rough_duration(now - (j.waiting.since == Time{} ? j.queued_at : j.waiting.since)));
  if (j.waiting.until && *j.waiting.until > now)
    text += fmt::format("That will change in about {}.\n", rough_duration(*j.waiting.until - now));
  auto ahead = read_objects(answer, "ahead");
  auto total = std::max<std::int64_t>(read_number(answer, "ahead_total"), static_cast<std::int64_t>(ahead.size()));
  if (total == 0) return text + "It is next in its pool.\n";
  std::vector<std::string> named;
  for (const auto* o : ahead)
    if (auto a = job_from_json(*o))
      named.push_back(a->spec.name.empty() ? std::to_string(a->id)
                                           : fmt::format("{} \"{}\"", a->id, printable(a->spec.name)));
  auto rest = total - static_cast<std::int64_t>(named.size());
  return text + fmt::format("{} ahead of it: job{} {}{}.\n",
                            total == 1 ? "One job is" : fmt::format("{} jobs are", total), total == 1 ? "" : "s",
                            join(named, ", "), rest > 0 ? fmt::format(" and {} more", rest) : "");
}

std::string ended(const Job& j) {
  auto ran = j.started_at == Time{} ? std::string("before its command ran")
                                    : fmt::format("after running {}", format_duration(j.ended_at - j.started_at));
  std::string how;
  switch (j.state) {
    case JobState::succeeded:
      how = "It succeeded";
      break;
    case JobState::cancelled:
      how = "It was cancelled";
      break;
    case JobState::timed_out:
      how = "It was stopped at its time limit";
      break;
    case JobState::lost:
      how = "It was lost: its builder went away under it";
      break;
    default:
      how = j.result.cause == JobCause::exited      ? fmt::format("It failed with exit code {}", j.result.exit_code)
            : j.result.cause == JobCause::signalled ? fmt::format("It was ended by signal {}", j.result.signal)
                                                    : fmt::format("It failed ({})", to_string(j.result.cause));
  }
  auto text = fmt::format("{}, {}, {} after it was submitted.", how, ran, format_duration(j.ended_at - j.queued_at));
  if (auto message = printable(j.result.message); !message.empty()) {
    if (message[0] >= 'a' && message[0] <= 'z') message[0] = static_cast<char>(message[0] - 'a' + 'A');
    text += " " + message + (message.ends_with('.') ? "" : ".");
  }
  text += fmt::format(" `mayfly run` would exit with {}.\n", client_exit_code(j.result));
  if (j.log_bytes > 0)
    text += fmt::format("Its log has {}{}: `mayfly logs {}`.\n", format_bytes(j.log_bytes),
                        j.log_truncated ? ", cut off at its limit" : "", j.id);
  return text;
}

std::string now_part(const json::object& answer, const Job& j, Time now) {
  std::string cancel = j.cancel_requested && !is_final(j.state) ? "It was asked to stop and has not yet.\n" : "";
  if (j.state == JobState::queued) return waiting(answer, j, now) + cancel;
  std::string where =
      j.builder.empty() ? "" : fmt::format("Its builder {} {}", is_final(j.state) ? "was" : "is", printable(j.builder));
  if (!where.empty() && !j.image_digest.empty())
    where += fmt::format(", made from {}{}{}{}", printable(j.image_version), j.image_version.empty() ? "" : " (",
                         shorten(printable(j.image_digest), 24), j.image_version.empty() ? "" : ")");
  if (!where.empty()) where += ".\n";
  if (j.state == JobState::assigned) return "It has a builder and is about to start.\n" + where + cancel;
  if (j.state == JobState::running)
    return fmt::format("It has been running {}, after waiting {}.\n", format_duration(now - j.started_at),
                       format_duration(j.started_at - j.queued_at)) +
           where + cancel;
  return ended(j) + where;
}

int show_explanation(Call& call, const json::object& answer) {
  auto* o = answer.if_contains("job");
  auto job = o && o->is_object() ? job_from_json(o->get_object())
                                 : fail(ErrorCode::internal, "the daemon's answer names no job");
  if (!job) return call.failed(job.error());
  auto now = SystemClock().now();
  std::string text = opening(*job, now) + at_ci(*job) + now_part(answer, *job, now);
  Table table({"AFTER", "WHAT", "OF", "DETAIL"});
  auto story = read_objects(answer, "story");
  for (const auto* e : story) {
    auto entry = ledger_entry_from_json(*e);
    if (!entry) return call.failed(entry.error());
    auto offset = entry->at - job->queued_at;
    table.add(
        {fmt::format("{}{}", offset < Duration{} ? "" : "+", offset == Duration{} ? "0" : format_duration(offset)),
         entry->kind, entry->subject, shorten(printable(detail_text(entry->detail)), 100)});
  }
  if (!story.empty()) text += "\n" + table.text(call.output);
  call.output.out(text);
  return 0;
}

}  // namespace

int command_explain(Call& call) {
  // A job's number, or else a pool's name.
  const auto& operand = call.line.operands.front();
  if (operand.find_first_not_of("0123456789") != std::string::npos && !operand.starts_with("job/"))
    return explain_pool(call);
  auto id = call.job_operand();
  if (!id) return call.usage(id.error());
  auto address = find_daemon(call.line.connection, call.environment);
  if (!address) return call.usage(address.error());
  Api api(std::move(*address));
  auto answer = api.get(fmt::format("/v1/jobs/{}/explain", *id));
  if (!answer) return call.failed(answer.error());
  if (call.has("json")) return call.output.out(json::serialize(*answer) + "\n"), 0;
  return show_explanation(call, *answer);
}

int command_audit_show(Call& call) {
  auto from = call.number("from", 1, 1, INT64_MAX);
  if (!from) return call.usage(from.error());
  auto limit = call.number("limit", 100, 1, 1000);
  if (!limit) return call.usage(limit.error());
  auto address = find_daemon(call.line.connection, call.environment);
  if (!address) return call.usage(address.error());
  Api api(std::move(*address));
  std::string path = fmt::format("/v1/ledger?from={}&limit={}", *from, *limit);
  if (call.has("subject")) path += "&subject=" + url_encode(call.value("subject"));
  auto answer = api.get(path);
  if (!answer) return call.failed(answer.error());
  if (call.has("json")) return call.output.out(json::serialize(*answer) + "\n"), 0;
  auto entries = read_objects(*answer, "entries");
  Table table({"NO", "AT", "WHAT", "OF", "DETAIL"});
  std::uint64_t last = 0;
  for (const auto* o : entries) {
    auto e = ledger_entry_from_json(*o);
    if (!e) return call.failed(e.error());
    last = e->seq;
    table.add({std::to_string(e->seq), format_time(e->at), e->kind, e->subject, detail_text(e->detail)});
  }
  if (entries.empty()) return call.output.err("There are no such entries.\n"), 0;
  call.output.out(table.text(call.output));
  if (static_cast<std::int64_t>(entries.size()) == *limit)
    call.output.err(fmt::format("There may be more: --from {}.\n", last + 1));
  return 0;
}

int command_audit_verify(Call& call) {
  auto address = find_daemon(call.line.connection, call.environment);
  if (!address) return call.usage(address.error());
  Api api(std::move(*address));
  auto answer = api.get("/v1/ledger/verification", std::chrono::minutes(10));
  if (!answer) return call.failed(answer.error());
  if (call.has("json")) return call.output.out(json::serialize(*answer) + "\n"), 0;
  call.output.out(fmt::format("The ledger is whole: {} entries, the last with hash {}.\n",
                              read_number(*answer, "entries"), read_text(*answer, "head")));
  return 0;
}

}  // namespace mayfly
