#include "ci/azure_devops/replies.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include <boost/json.hpp>

#include "base/text.h"
#include "model/json.h"

namespace mayfly::azure_devops {
namespace json = boost::json;
namespace {

// The member, unless it is missing or null.
const json::value* find(const json::object& o, std::string_view key) {
  auto* v = o.if_contains(key);
  return v && !v->is_null() ? v : nullptr;
}
const json::object* object(const json::object& o, std::string_view key) {
  auto* v = find(o, key);
  return v ? v->if_object() : nullptr;
}
const json::array* array(const json::object& o, std::string_view key) {
  auto* v = find(o, key);
  return v ? v->if_array() : nullptr;
}
std::string text(const json::object& o, std::string_view key) {
  auto* v = find(o, key);
  auto* s = v ? v->if_string() : nullptr;
  return s ? std::string(s->data(), s->size()) : std::string();
}

// A whole number, also one that was sent as text or with a fraction of zero.
std::optional<std::int64_t> number(const json::object& o, std::string_view key) {
  auto* v = find(o, key);
  if (!v) return {};
  if (auto* i = v->if_int64()) return *i;
  if (auto* u = v->if_uint64(); u && *u <= INT64_MAX) return static_cast<std::int64_t>(*u);
  if (auto* d = v->if_double(); d && *d >= -9e15 && *d <= 9e15) return static_cast<std::int64_t>(*d);
  if (auto* s = v->if_string()) {
    std::int64_t n = 0;
    auto [end, ec] = std::from_chars(s->data(), s->data() + s->size(), n);
    if (ec == std::errc() && end == s->data() + s->size() && !s->empty()) return n;
  }
  return {};
}
std::optional<bool> flag(const json::object& o, std::string_view key) {
  auto* v = find(o, key);
  if (!v) return {};
  if (auto* b = v->if_bool()) return *b;
  auto word = to_lower(text(o, key));
  if (word == "true") return true;
  if (word == "false") return false;
  return {};
}

// A property bag's value: {"$type": …, "$value": …}, or the value itself.
const json::value* property(const json::object& bag, std::string_view key) {
  auto* v = find(bag, key);
  auto* wrapped = v ? v->if_object() : nullptr;
  return wrapped ? find(*wrapped, "$value") : v;
}

std::map<std::string, std::string> texts(const json::object& o, std::string_view key) {
  std::map<std::string, std::string> out;
  if (auto* bag = object(o, key))
    for (const auto& [name, value] : *bag) out.emplace(std::string(name), text(*bag, name));
  return out;
}

std::optional<AgentName> read_agent_name(const json::object& o) {
  auto id = number(o, "id");
  AgentName name{id.value_or(0), text(o, "name")};
  if (!id && name.name.empty()) return {};
  return name;
}

// A time that is there but cannot be read is still there: whether a job was received matters more than when.
void read_time(const json::object& o, std::string_view key, bool& there, Time& at) {
  auto t = text(o, key);
  if (t.empty() || t.starts_with("0001-01-01")) return;
  there = true;
  at = parse_time(t).value_or(Time{});
}

std::string read_result(const json::object& o) {
  static constexpr std::array names{"succeeded", "succeededwithissues", "failed", "canceled", "skipped", "abandoned"};
  if (auto word = text(o, "result"); !word.empty()) return to_lower(word);
  auto n = number(o, "result");
  if (!n) return {};
  return *n >= 0 && *n < static_cast<std::int64_t>(names.size()) ? names[static_cast<std::size_t>(*n)] : "unknown";
}

std::string read_link(const json::object& o) {
  auto* links = object(o, "_links");
  auto* web = links ? object(*links, "web") : nullptr;
  return web ? text(*web, "href") : std::string();
}

std::optional<JobRequest> read_job_request(const json::value& v) {
  auto* o = v.if_object();
  auto id = o ? number(*o, "requestId") : std::nullopt;
  if (!id || *id <= 0) return {};
  JobRequest r;
  r.id = *id;
  r.job_id = text(*o, "jobId");
  r.plan_id = text(*o, "planId");
  r.result = read_result(*o);
  bool queued = false;
  read_time(*o, "queueTime", queued, r.queued_at);
  read_time(*o, "assignTime", r.assigned, r.assigned_at);
  read_time(*o, "receiveTime", r.received, r.received_at);
  read_time(*o, "finishTime", r.finished, r.finished_at);
  if (auto* demands = array(*o, "demands"))
    for (const auto& d : *demands)
      if (auto* s = d.if_string()) r.demands.emplace_back(s->data(), s->size());
  if (auto* agent = object(*o, "reservedAgent")) r.agent = read_agent_name(*agent);
  if (auto* matched = array(*o, "matchedAgents")) {
    r.matched.emplace();
    for (const auto& m : *matched)
      if (auto* mo = m.if_object())
        if (auto name = read_agent_name(*mo)) r.matched->push_back(*name);
  }
  if (auto* definition = object(*o, "definition")) r.definition = text(*definition, "name");
  if (auto* owner = object(*o, "owner")) {
    r.owner = text(*owner, "name");
    r.url = read_link(*owner);
  }
  r.priority = static_cast<int>(std::clamp<std::int64_t>(number(*o, "priority").value_or(0), -1000, 1000));
  return r;
}

std::optional<Agent> read_agent(const json::object& o) {
  auto name = read_agent_name(o);
  if (!name || name->id <= 0) return {};
  Agent a;
  a.name = *name;
  a.version = text(o, "version");
  a.enabled = flag(o, "enabled").value_or(true);
  a.online = to_lower(text(o, "status")) == "online" || number(o, "status") == 2;
  a.system_capabilities = texts(o, "systemCapabilities");
  a.user_capabilities = texts(o, "userCapabilities");
  if (auto* v = find(o, "assignedRequest")) a.assigned = read_job_request(*v);
  if (auto* v = find(o, "lastCompletedRequest")) a.last_completed = read_job_request(*v);
  if (auto* authorization = object(o, "authorization")) {
    a.client_id = text(*authorization, "clientId");
    a.authorization_url = text(*authorization, "authorizationUrl");
  }
  if (auto* properties = object(o, "properties")) {
    if (auto* v = property(*properties, "ServerUrl"))
      if (auto* s = v->if_string()) a.server_url = std::string(s->data(), s->size());
    if (auto* v = property(*properties, "RequireFipsCryptography"))
      a.require_fips = (v->is_bool() && v->get_bool()) || (v->is_string() && to_lower(v->get_string()) == "true");
  }
  return a;
}

Result<json::object> parse(std::string_view body) {
  if (body.starts_with("\xef\xbb\xbf")) body.remove_prefix(3);
  return parse_json_object(body);
}

// The collection's entries; an answer without any "value" is no collection at all.
Result<json::array> parse_collection(std::string_view body, std::string_view what) {
  MAYFLY_ASSIGN(auto o, parse(body));
  auto* v = o.if_contains("value");
  if (v && v->is_null()) return json::array{};
  if (!v || !v->is_array())
    return fail(ErrorCode::unavailable, "the answer is no list of " + std::string(what), "body");
  return std::move(v->get_array());
}

int digits(std::string_view text, std::size_t at, std::size_t n) {
  int out = 0;
  if (at + n > text.size()) return -1;
  auto [end, ec] = std::from_chars(text.data() + at, text.data() + at + n, out);
  return ec == std::errc() && end == text.data() + at + n && text[at] != '-' ? out : -1;
}

// "Z", "+01:00" or nothing, in minutes.
std::optional<int> parse_offset(std::string_view zone) {
  if (zone.empty() || zone == "Z" || zone == "z") return 0;
  int hours = digits(zone, 1, 2), minutes = zone.size() >= 6 ? digits(zone, 4, 2) : 0;
  bool shaped = (zone[0] == '+' || zone[0] == '-') && (zone.size() == 3 || (zone.size() == 6 && zone[3] == ':'));
  if (!shaped || hours < 0 || minutes < 0) return {};
  return (zone[0] == '-' ? -1 : 1) * (hours * 60 + minutes);
}

}  // namespace

std::optional<Time> parse_time(std::string_view text) {
  int y = digits(text, 0, 4), mo = digits(text, 5, 2), d = digits(text, 8, 2);
  int h = digits(text, 11, 2), mi = digits(text, 14, 2), s = digits(text, 17, 2);
  if (y < 1 || mo < 1 || d < 1 || h < 0 || mi < 0 || s < 0 || h > 24 || mi > 59 || s > 60) return {};
  if (text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != ' ') || text[13] != ':' || text[16] != ':')
    return {};
  std::chrono::year_month_day day{std::chrono::year(y), std::chrono::month(static_cast<unsigned>(mo)),
                                  std::chrono::day(static_cast<unsigned>(d))};
  if (!day.ok()) return {};
  auto rest = text.substr(19);
  std::int64_t micros = 0;
  if (rest.starts_with('.')) {
    std::size_t n = 1;
    for (std::int64_t unit = 100'000; n < rest.size() && std::isdigit(static_cast<unsigned char>(rest[n])); ++n) {
      micros += (rest[n] - '0') * unit;
      unit /= 10;
    }
    rest.remove_prefix(n);
  }
  auto offset = parse_offset(rest);
  if (!offset) return {};
  return std::chrono::sys_days(day) + std::chrono::hours(h) + std::chrono::minutes(mi - *offset) + seconds(s) +
         Duration(micros);
}

Result<JobRequests> parse_job_requests(std::string_view body) {
  MAYFLY_ASSIGN(auto values, parse_collection(body, "job requests"));
  JobRequests out;
  for (const auto& v : values) {
    if (auto r = read_job_request(v))
      out.all.push_back(std::move(*r));
    else
      ++out.odd;
  }
  return out;
}

Result<std::vector<Agent>> parse_agents(std::string_view body) {
  MAYFLY_ASSIGN(auto values, parse_collection(body, "agents"));
  std::vector<Agent> out;
  for (const auto& v : values)
    if (auto* o = v.if_object())
      if (auto a = read_agent(*o)) out.push_back(std::move(*a));
  return out;
}

Result<Agent> parse_agent(std::string_view body) {
  MAYFLY_ASSIGN(auto o, parse(body));
  auto a = read_agent(o);
  if (!a) return fail(ErrorCode::unavailable, "the answer names no agent", "body");
  return *a;
}

Result<std::vector<Pool>> parse_pools(std::string_view body) {
  MAYFLY_ASSIGN(auto values, parse_collection(body, "pools"));
  std::vector<Pool> out;
  for (const auto& v : values) {
    auto* o = v.if_object();
    auto id = o ? number(*o, "id") : std::nullopt;
    if (!id || *id <= 0) continue;
    out.push_back({*id, text(*o, "name"), flag(*o, "autoUpdate"), flag(*o, "isHosted").value_or(false)});
  }
  return out;
}

Result<Token> parse_token(std::string_view body) {
  MAYFLY_ASSIGN(auto o, parse(body));
  constexpr std::int64_t day = 86'400;
  // Whatever the service says: as a time of microseconds it must fit its type.
  Token t{text(o, "access_token"), seconds(std::clamp<std::int64_t>(number(o, "expires_in").value_or(300), 0, day))};
  if (t.value.empty()) return fail(ErrorCode::denied, "the answer has no access_token", "body");
  return t;
}

std::string error_message(std::string_view body) {
  auto o = parse(body);
  if (!o) return {};
  std::string found;
  for (auto key : {"message", "error_description", "error"})
    if (found.empty()) found = text(*o, key);
  if (auto* error = object(*o, "error"); found.empty() && error) found = text(*error, "message");
  if (auto end = found.find_first_of("\r\n"); end != std::string::npos) found.resize(end);
  if (found.size() > 300) found.resize(300);
  return found;
}

}  // namespace mayfly::azure_devops
