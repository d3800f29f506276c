#include "model/json.h"

#include <boost/json.hpp>

#include <charconv>

#include <fmt/format.h>

#include "base/text.h"
#include "model/json_reader.h"

namespace mayfly {
namespace json = boost::json;
using Reader = JsonReader;
namespace {

json::array to_array(const std::vector<std::string>& v) {
  json::array a;
  for (const auto& s : v) a.emplace_back(s);
  return a;
}

Result<JobSpec> read_spec(const json::object& o, bool strict) {
  Reader r(o, "job");
  JobSpec s;
  s.pool = r.text("pool");
  s.labels = r.texts("labels");
  s.name = r.text("name");
  s.command = r.texts("command");
  s.script = r.text("script");
  s.env = r.map("env");
  s.secrets = r.texts("secrets");
  if (auto us = r.number("timeout_us", -1); us >= 0) s.timeout = Duration(us);
  s.priority = static_cast<int>(std::clamp<std::int64_t>(r.number("priority"), -1000, 1000));
  s.input = r.text("input");
  s.output = r.text("output");
  s.repeatable = r.flag("repeatable");
  s.submitter = r.text("submitter");
  if (!strict) s.one_time_secrets = r.texts("one_time_secrets");  // a request has their values there, too
  if (strict)
    r.refuse_unknown({"pool", "labels", "name", "command", "script", "env", "secrets", "timeout_us", "priority",
                      "input", "output", "repeatable", "submitter", "idempotency_key", "one_time_secrets", "ci",
                      "external"});
  MAYFLY_TRY(r.check());
  return s;
}

}  // namespace

json::object to_json(const Error& e) {
  json::object o{{"code", to_string(e.code)}, {"what", e.what}};
  if (!e.where.empty()) o["where"] = e.where;
  if (!e.next.empty()) o["next"] = e.next;
  return o;
}

json::object to_json(const Reason& r) {
  json::object o{{"code", to_string(r.code)}, {"text", r.text}};
  put_time(o, "since", r.since);
  if (r.until) put_time(o, "until", *r.until);
  return o;
}

json::object to_json(const JobSpec& s) {
  json::object env;
  for (const auto& [k, v] : s.env) env[k] = v;
  json::object o{{"pool", s.pool}};
  if (!s.labels.empty()) o["labels"] = to_array(s.labels);
  if (!s.name.empty()) o["name"] = s.name;
  if (!s.command.empty()) o["command"] = to_array(s.command);
  if (!s.script.empty()) o["script"] = s.script;
  if (!env.empty()) o["env"] = env;
  if (!s.secrets.empty()) o["secrets"] = to_array(s.secrets);
  if (s.timeout) o["timeout_us"] = s.timeout->count();
  if (s.priority != 0) o["priority"] = s.priority;
  if (!s.input.empty()) o["input"] = s.input;
  if (!s.output.empty()) o["output"] = s.output;
  if (s.repeatable) o["repeatable"] = true;
  if (!s.submitter.empty()) o["submitter"] = s.submitter;
  if (!s.one_time_secrets.empty()) o["one_time_secrets"] = to_array(s.one_time_secrets);
  return o;
}

json::object to_json(const CiRecord& c) {
  json::object o{{"id", c.id}};
  if (!c.url.empty()) o["url"] = c.url;
  if (!c.name.empty()) o["name"] = c.name;
  if (!c.runner.empty()) o["runner"] = c.runner;
  if (c.taken) o["taken"] = true;
  if (!c.result.empty()) o["result"] = c.result;
  put_time(o, "queued_at", c.queued_at);
  put_time(o, "started_at", c.started_at);
  put_time(o, "ended_at", c.ended_at);
  return o;
}

json::object to_json(const Job& j) {
  json::object o{
      {"id", j.id}, {"state", to_string(j.state)}, {"spec", to_json(j.spec)}, {"ci", j.ci}, {"attempt", j.attempt}};
  if (j.state == JobState::queued) o["waiting"] = to_json(j.waiting);
  if (!j.builder.empty()) o["builder"] = j.builder;
  if (!j.image_digest.empty()) o["image_digest"] = j.image_digest;
  if (!j.image_version.empty()) o["image_version"] = j.image_version;
  if (j.timeout != Duration{}) o["timeout_us"] = j.timeout.count();
  if (j.grace != Duration{}) o["grace_us"] = j.grace.count();
  if (!j.lost_on.empty()) o["lost_on"] = j.lost_on;
  if (j.cancel_requested) o["cancel_requested"] = true;
  if (!j.idempotency_key.empty()) o["idempotency_key"] = j.idempotency_key;
  if (!j.external.id.empty()) o["external"] = to_json(j.external);
  put_time(o, "queued_at", j.queued_at);
  put_time(o, "assigned_at", j.assigned_at);
  put_time(o, "started_at", j.started_at);
  put_time(o, "ended_at", j.ended_at);
  if (is_final(j.state) || j.result.cause != JobCause::none) {
    json::object result{{"cause", to_string(j.result.cause)}, {"exit_code", j.result.exit_code}};
    if (j.result.signal != 0) result["signal"] = j.result.signal;
    if (!j.result.message.empty()) result["message"] = j.result.message;
    o["result"] = result;
    o["log_bytes"] = j.log_bytes;
    if (j.log_truncated) o["log_truncated"] = true;
  }
  return o;
}

json::object to_json(const Builder& b) {
  json::object o{{"id", b.id},
                 {"pool", b.pool},
                 {"platform", b.platform},
                 {"image", b.image},
                 {"image_digest", b.image_digest},
                 {"state", to_string(b.state)},
                 {"warm", b.warm}};
  if (!b.image_version.empty()) o["image_version"] = b.image_version;
  if (b.job != 0) o["job"] = b.job;
  if (!b.cause.empty()) o["cause"] = b.cause;
  if (!b.shape.empty()) o["shape"] = b.shape;
  put_time(o, "requested_at", b.requested_at);
  put_time(o, "ready_at", b.ready_at);
  put_time(o, "stopping_at", b.stopping_at);
  put_time(o, "gone_at", b.gone_at);
  return o;
}

json::object to_json(const LedgerEntry& e) {
  return {{"seq", e.seq},       {"at", to_micros(e.at)},  {"kind", e.kind}, {"subject", e.subject},
          {"detail", e.detail}, {"previous", e.previous}, {"hash", e.hash}};
}

Result<JobSpec> job_spec_from_json(const json::object& o) { return read_spec(o, true); }

Result<CiRecord> ci_record_from_json(const json::object& o) {
  Reader r(o, "external");
  CiRecord c;
  c.id = r.text("id");
  c.url = r.text("url");
  c.name = r.text("name");
  c.runner = r.text("runner");
  c.taken = r.flag("taken");
  c.result = r.text("result");
  c.queued_at = r.time("queued_at");
  c.started_at = r.time("started_at");
  c.ended_at = r.time("ended_at");
  MAYFLY_TRY(r.check());
  return c;
}

Result<Job> job_from_json(const json::object& o) {
  Reader r(o, "job");
  Job j;
  j.id = static_cast<JobId>(r.number("id"));
  j.state = r.name("state", job_state_from, JobState::queued);
  if (auto* spec = r.object("spec")) {
    MAYFLY_ASSIGN(j.spec, read_spec(*spec, false));
  }
  if (auto* w = r.object("waiting")) {
    Reader wr(*w, "job");
    j.waiting.code = wr.name("code", reason_code_from, ReasonCode::none);
    j.waiting.text = wr.text("text");
    j.waiting.since = wr.time("since");
    if (auto until = wr.number("until"); until != 0) j.waiting.until = from_micros(until);
    MAYFLY_TRY(wr.check());
  }
  j.builder = r.text("builder");
  j.image_digest = r.text("image_digest");
  j.image_version = r.text("image_version");
  j.cancel_requested = r.flag("cancel_requested");
  j.idempotency_key = r.text("idempotency_key");
  j.ci = r.text("ci");
  j.attempt = static_cast<int>(r.number("attempt", 1));
  j.lost_on = r.text("lost_on");
  j.timeout = Duration(r.number("timeout_us"));
  j.grace = Duration(r.number("grace_us"));
  j.queued_at = r.time("queued_at");
  j.assigned_at = r.time("assigned_at");
  j.started_at = r.time("started_at");
  j.ended_at = r.time("ended_at");
  if (auto* result = r.object("result")) {
    Reader rr(*result, "job");
    j.result.cause = rr.name("cause", job_cause_from, JobCause::none);
    j.result.exit_code = static_cast<int>(rr.number("exit_code"));
    j.result.signal = static_cast<int>(rr.number("signal"));
    j.result.message = rr.text("message");
    MAYFLY_TRY(rr.check());
  }
  if (auto* external = r.object("external")) {
    MAYFLY_ASSIGN(j.external, ci_record_from_json(*external));
  }
  j.log_bytes = r.number("log_bytes");
  j.log_truncated = r.flag("log_truncated");
  MAYFLY_TRY(r.check());
  return j;
}

Result<Builder> builder_from_json(const json::object& o) {
  Reader r(o, "builder");
  Builder b;
  b.id = r.text("id");
  b.pool = r.text("pool");
  b.platform = r.text("platform");
  b.image = r.text("image");
  b.image_digest = r.text("image_digest");
  b.image_version = r.text("image_version");
  b.shape = r.text("shape");
  b.state = r.name("state", builder_state_from, BuilderState::requested);
  b.warm = r.flag("warm");
  b.job = static_cast<JobId>(r.number("job"));
  b.cause = r.text("cause");
  b.requested_at = r.time("requested_at");
  b.ready_at = r.time("ready_at");
  b.stopping_at = r.time("stopping_at");
  b.gone_at = r.time("gone_at");
  MAYFLY_TRY(r.check());
  return b;
}

Result<LedgerEntry> ledger_entry_from_json(const json::object& o) {
  Reader r(o, "ledger entry");
  LedgerEntry e;
  e.seq = static_cast<std::uint64_t>(r.number("seq"));
  e.at = r.time("at");
  e.kind = r.text("kind");
  e.subject = r.text("subject");
  e.detail = r.text("detail");
  e.previous = r.text("previous");
  e.hash = r.text("hash");
  MAYFLY_TRY(r.check());
  return e;
}

Error error_from_json(const json::object& o) {
  Reader r(o, "error");
  Error e;
  auto code = r.text("code");
  for (int c = 0; c <= static_cast<int>(ErrorCode::internal); ++c)
    if (to_string(static_cast<ErrorCode>(c)) == code) e.code = static_cast<ErrorCode>(c);
  e.what = r.text("what");
  e.where = r.text("where");
  e.next = r.text("next");
  return e;
}

std::string text_at(const json::object& o, std::string_view key) {
  const auto* v = o.if_contains(key);
  return v && v->is_string() ? std::string(v->get_string()) : "";
}

Result<json::object> parse_json_object(std::string_view text) {
  json::error_code ec;
  json::parse_options options;
  options.max_depth = 16;
  json::stream_parser parser({}, options);
  auto read = parser.write_some(text.data(), text.size(), ec);
  if (!ec && read == text.size()) parser.finish(ec);
  if (!ec && read < text.size() && trim(text.substr(read)).empty()) ec = {};
  if (ec || !parser.done() || !trim(text.substr(read)).empty())
    return fail(ErrorCode::invalid, fmt::format("not valid JSON near byte {}{}", read, ec ? ": " + ec.message() : ""),
                "body");
  auto value = parser.release();
  if (!value.is_object()) return fail(ErrorCode::invalid, "not a JSON object", "body");
  return std::move(value.get_object());
}

}  // namespace mayfly
