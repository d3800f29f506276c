#include "model/json.h"

#include <boost/json.hpp>

#include <charconv>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly {
namespace json = boost::json;
namespace {

void put_time(json::object& o, std::string_view key, Time t) {
  if (t != Time{}) o[key] = to_micros(t);
}

json::array to_array(const std::vector<std::string>& v) {
  json::array a;
  for (const auto& s : v) a.emplace_back(s);
  return a;
}

// Reads members by type and remembers the first that is wrong.
class Reader {
 public:
  Reader(const json::object& o, std::string where) : object_(o), where_(std::move(where)) {}

  std::string text(std::string_view key) {
    auto* v = find(key);
    if (!v) return {};
    if (auto* s = v->if_string()) return {s->data(), s->size()};
    wrong(key, "a string");
    return {};
  }
  std::int64_t number(std::string_view key, std::int64_t missing = 0) {
    auto* v = find(key);
    if (!v) return missing;
    if (auto* i = v->if_int64()) return *i;
    if (auto* u = v->if_uint64(); u && *u <= INT64_MAX) return static_cast<std::int64_t>(*u);
    wrong(key, "an integer");
    return missing;
  }
  bool flag(std::string_view key) {
    auto* v = find(key);
    if (!v) return false;
    if (auto* b = v->if_bool()) return *b;
    wrong(key, "true or false");
    return false;
  }
  Time time(std::string_view key) { return from_micros(number(key)); }
  std::vector<std::string> texts(std::string_view key) {
    std::vector<std::string> out;
    auto* v = find(key);
    if (!v) return out;
    auto* a = v->if_array();
    if (!a) return wrong(key, "an array of strings"), out;
    for (const auto& e : *a) {
      auto* s = e.if_string();
      if (!s) return wrong(key, "an array of strings"), out;
      out.emplace_back(s->data(), s->size());
    }
    return out;
  }
  std::map<std::string, std::string> map(std::string_view key) {
    std::map<std::string, std::string> out;
    auto* v = find(key);
    if (!v) return out;
    auto* o = v->if_object();
    if (!o) return wrong(key, "an object of strings"), out;
    for (const auto& [k, e] : *o) {
      auto* s = e.if_string();
      if (!s) return wrong(key, "an object of strings"), out;
      out.emplace(std::string(k), std::string(s->data(), s->size()));
    }
    return out;
  }
  const json::object* object(std::string_view key) {
    auto* v = find(key);
    if (!v) return nullptr;
    if (auto* o = v->if_object()) return o;
    wrong(key, "an object");
    return nullptr;
  }
  template <class E>
  E name(std::string_view key, std::optional<E> (*from)(std::string_view), E missing) {
    if (!find(key)) return missing;
    if (auto e = from(text(key))) return *e;
    wrong(key, "a known name");
    return missing;
  }
  void wrong(std::string_view key, std::string_view expected) {
    if (!problem_) problem_ = Error{ErrorCode::invalid, fmt::format("'{}' is not {}", key, expected), where_, {}};
  }
  void refuse_unknown(const std::vector<std::string>& known) {
    for (const auto& [k, v] : object_) {
      std::string key(k);
      if (problem_ || std::find(known.begin(), known.end(), key) != known.end()) continue;
      auto near = nearest(key, known);
      problem_ = Error{ErrorCode::invalid, fmt::format("unknown member '{}'", key), where_,
                       near ? fmt::format("Did you mean '{}'?", *near) : fmt::format("Known: {}.", join(known, ", "))};
    }
  }
  Result<void> check() const {
    if (problem_) return Unexpected(*problem_);
    return {};
  }

 private:
  const json::value* find(std::string_view key) {
    auto* v = object_.if_contains(key);
    return v && v->is_null() ? nullptr : v;
  }
  const json::object& object_;
  std::string where_;
  std::optional<Error> problem_;
};

Result<JobSpec> read_spec(const json::object& o, bool strict) {
  Reader r(o, "job");
  JobSpec s;
  s.pool = r.text("pool");
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
  if (strict)
    r.refuse_unknown({"pool", "name", "command", "script", "env", "secrets", "timeout_us", "priority", "input",
                      "output", "repeatable", "submitter", "idempotency_key"});
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
  return o;
}

json::object to_json(const Job& j) {
  json::object o{
      {"id", j.id}, {"state", to_string(j.state)}, {"spec", to_json(j.spec)}, {"ci", j.ci}, {"attempt", j.attempt}};
  if (j.state == JobState::queued) o["waiting"] = to_json(j.waiting);
  if (!j.builder.empty()) o["builder"] = j.builder;
  if (!j.image_digest.empty()) o["image_digest"] = j.image_digest;
  if (j.cancel_requested) o["cancel_requested"] = true;
  if (!j.idempotency_key.empty()) o["idempotency_key"] = j.idempotency_key;
  put_time(o, "queued_at", j.queued_at);
  put_time(o, "assigned_at", j.assigned_at);
  put_time(o, "started_at", j.started_at);
  put_time(o, "ended_at", j.ended_at);
  if (is_final(j.state)) {
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
  if (b.job != 0) o["job"] = b.job;
  if (!b.cause.empty()) o["cause"] = b.cause;
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
  j.cancel_requested = r.flag("cancel_requested");
  j.idempotency_key = r.text("idempotency_key");
  j.ci = r.text("ci");
  j.attempt = static_cast<int>(r.number("attempt", 1));
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
