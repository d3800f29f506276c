#include "model/agent_message.h"

#include <boost/json.hpp>

#include <fmt/format.h>

namespace mayfly::agent {
namespace json = boost::json;
namespace {

// Reads members with a type each, remembering the first that is wrong: the caller checks once, at the end.
class Reader {
 public:
  explicit Reader(const json::object& o) : object_(o) {}

  std::string text(std::string_view key) {
    auto* v = find(key);
    if (!v) return {};
    if (auto* s = v->if_string()) return std::string(s->data(), s->size());
    return wrong(key, "a string"), std::string();
  }
  JobId job() {
    auto n = number("job");
    if (n < 0) wrong("job", "a job's id");
    return static_cast<JobId>(n);
  }
  std::int64_t number(std::string_view key) {
    auto* v = find(key);
    if (!v) return 0;
    if (auto* i = v->if_int64()) return *i;
    if (auto* u = v->if_uint64(); u && *u <= INT64_MAX) return static_cast<std::int64_t>(*u);
    return wrong(key, "an integer"), 0;
  }
  bool flag(std::string_view key) {
    auto* v = find(key);
    if (!v) return false;
    if (auto* b = v->if_bool()) return *b;
    return wrong(key, "true or false"), false;
  }
  std::vector<std::string> texts(std::string_view key) {
    std::vector<std::string> out;
    auto* v = find(key);
    if (!v) return out;
    auto* a = v->if_array();
    if (!a) return wrong(key, "an array of strings"), out;
    for (const auto& e : *a) {
      if (!e.is_string()) return wrong(key, "an array of strings"), out;
      out.emplace_back(e.get_string().data(), e.get_string().size());
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
      if (!e.is_string()) return wrong(key, "an object of strings"), out;
      out.emplace(std::string(k), std::string(e.get_string().data(), e.get_string().size()));
    }
    return out;
  }
  const json::object* object(std::string_view key) {
    auto* v = find(key);
    if (!v || v->is_null()) return nullptr;
    if (auto* o = v->if_object()) return o;
    return wrong(key, "an object"), nullptr;
  }
  void wrong(std::string_view key, std::string_view expected) {
    if (problem_.empty()) problem_ = fmt::format("'{}' is not {}", key, expected);
  }
  Result<void> check() const {
    if (problem_.empty()) return {};
    return fail(ErrorCode::invalid, problem_, "agent message");
  }

 private:
  const json::value* find(std::string_view key) { return object_.if_contains(key); }
  const json::object& object_;
  std::string problem_;
};

json::value to_value(const std::vector<std::string>& v) { return json::value_from(v); }
json::value to_value(const std::map<std::string, std::string>& m) {
  json::object o;
  for (const auto& [k, v] : m) o[k] = v;
  return o;
}

json::object to_value(const Finished& f) {
  return {{"job", f.job},
          {"cause", to_string(f.result.cause)},
          {"exit_code", f.result.exit_code},
          {"signal", f.result.signal},
          {"message", f.result.message},
          {"started_at", to_micros(f.started_at)},
          {"ended_at", to_micros(f.ended_at)},
          {"log_bytes", f.log_bytes},
          {"log_truncated", f.log_truncated}};
}

Result<Finished> finished_from(const json::object& o) {
  Reader r(o);
  Finished f;
  f.job = r.job();
  if (auto cause = job_cause_from(r.text("cause")))
    f.result.cause = *cause;
  else
    r.wrong("cause", "a known cause");
  f.result.exit_code = static_cast<int>(r.number("exit_code"));
  f.result.signal = static_cast<int>(r.number("signal"));
  f.result.message = r.text("message");
  f.started_at = from_micros(r.number("started_at"));
  f.ended_at = from_micros(r.number("ended_at"));
  f.log_bytes = r.number("log_bytes");
  f.log_truncated = r.flag("log_truncated");
  MAYFLY_TRY(r.check());
  return f;
}

Result<json::object> parse(std::string_view text) {
  json::error_code ec;
  json::parse_options options;
  options.max_depth = 8;
  auto value = json::parse(text, ec, {}, options);
  if (ec || !value.is_object()) return fail(ErrorCode::invalid, "not a JSON object", "agent message");
  return std::move(value.get_object());
}

Result<ToAgent> assign_from(Reader& r) {
  Assign a;
  a.job = r.job();
  a.argv = r.texts("argv");
  a.script = r.text("script");
  a.env = r.map("env");
  a.secrets = r.map("secrets");
  a.user = r.text("user");
  a.timeout = Duration(r.number("timeout_us"));
  a.grace = Duration(r.number("grace_us"));
  a.log_limit = r.number("log_limit");
  a.has_input = r.flag("has_input");
  a.output = r.text("output");
  a.hold = r.flag("hold");
  MAYFLY_TRY(r.check());
  if (a.job == 0 || a.argv.empty() == a.script.empty())
    return fail(ErrorCode::invalid, "a job needs an id and either argv or script", "agent message");
  return a;
}

}  // namespace

std::string encode(const ToAgent& message) {
  struct Encoder {
    json::object operator()(const Assign& a) const {
      return {{"type", "assign"},
              {"job", a.job},
              {"argv", to_value(a.argv)},
              {"script", a.script},
              {"env", to_value(a.env)},
              {"secrets", to_value(a.secrets)},
              {"user", a.user},
              {"timeout_us", a.timeout.count()},
              {"grace_us", a.grace.count()},
              {"log_limit", a.log_limit},
              {"has_input", a.has_input},
              {"output", a.output},
              {"hold", a.hold}};
    }
    json::object operator()(const Begin& b) const { return {{"type", "begin"}, {"job", b.job}}; }
    json::object operator()(const Cancel& c) const { return {{"type", "cancel"}, {"job", c.job}}; }
    json::object operator()(const Release&) const { return {{"type", "release"}}; }
  };
  return json::serialize(std::visit(Encoder(), message));
}

std::string encode(const FromAgent& message) {
  struct Encoder {
    json::object operator()(const Hello& h) const {
      json::object o{
          {"type", "hello"}, {"version", h.version}, {"job", h.job}, {"started_at", to_micros(h.started_at)}};
      if (h.finished) o["finished"] = to_value(*h.finished);
      return o;
    }
    json::object operator()(const Started& s) const {
      return {{"type", "started"}, {"job", s.job}, {"at", to_micros(s.at)}};
    }
    json::object operator()(const Finished& f) const {
      auto o = to_value(f);
      o["type"] = "finished";
      return o;
    }
    json::object operator()(const Refused& r) const { return {{"type", "refused"}, {"job", r.job}, {"why", r.why}}; }
  };
  return json::serialize(std::visit(Encoder(), message));
}

Result<ToAgent> decode_to_agent(std::string_view text) {
  MAYFLY_ASSIGN(auto object, parse(text));
  Reader r(object);
  auto type = r.text("type");
  if (type == "assign") return assign_from(r);
  if (type == "begin") {
    Begin b{r.job()};
    MAYFLY_TRY(r.check());
    return b;
  }
  if (type == "cancel") {
    Cancel c{r.job()};
    MAYFLY_TRY(r.check());
    return c;
  }
  if (type == "release") return Release{};
  return fail(ErrorCode::invalid, fmt::format("unknown type '{}'", type), "agent message");
}

Result<FromAgent> decode_from_agent(std::string_view text) {
  MAYFLY_ASSIGN(auto object, parse(text));
  Reader r(object);
  auto type = r.text("type");
  if (type == "finished") {
    MAYFLY_ASSIGN(auto f, finished_from(object));
    return f;
  }
  if (type == "hello") {
    Hello h;
    h.version = static_cast<int>(r.number("version"));
    h.job = r.job();
    h.started_at = from_micros(r.number("started_at"));
    if (auto* f = r.object("finished")) {
      MAYFLY_ASSIGN(auto finished, finished_from(*f));
      h.finished = finished;
    }
    MAYFLY_TRY(r.check());
    return h;
  }
  if (type == "started") {
    Started s{r.job(), from_micros(r.number("at"))};
    MAYFLY_TRY(r.check());
    return s;
  }
  if (type == "refused") {
    Refused f{r.job(), r.text("why")};
    MAYFLY_TRY(r.check());
    return f;
  }
  return fail(ErrorCode::invalid, fmt::format("unknown type '{}'", type), "agent message");
}

std::string encode_result(const Finished& f) { return json::serialize(to_value(f)); }

Result<Finished> decode_result(std::string_view text) {
  MAYFLY_ASSIGN(auto object, parse(text));
  return finished_from(object);
}

std::string frame(std::string_view text) {
  auto n = static_cast<std::uint32_t>(text.size());
  std::string out;
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(n >> shift & 255);
  out += text;
  return out;
}

}  // namespace mayfly::agent
