#include "ci/github/wire.h"

#include <algorithm>
#include <charconv>
#include <ctime>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly::github {
namespace {

constexpr std::size_t max_labels = 100;

Time time_of(const json::value& object, std::string_view name) {
  return parse_time(text_of(object, name)).value_or(Time{});
}

bool flag_of(const json::value& object, std::string_view name) {
  auto* m = member_of(object, name);
  return m && m->is_bool() && m->get_bool();
}

// Labels are texts in jobs, and objects with a name in runners.
std::vector<std::string> labels_of(const json::value& object) {
  std::vector<std::string> out;
  auto* m = member_of(object, "labels");
  if (!m || !m->is_array()) return out;
  for (const auto& label : m->get_array()) {
    auto name = label.is_string() ? std::string(label.get_string()) : text_of(label, "name");
    if (!name.empty() && out.size() < max_labels) out.push_back(std::move(name));
  }
  return out;
}

// Lists come as {"total_count": …, NAME: […]}, some as a bare array.
Result<const json::array*> elements(const json::value& list, std::string_view name) {
  if (list.is_array()) return &list.get_array();
  auto* m = member_of(list, name);
  if (m && m->is_array()) return &m->get_array();
  bool nothing = list.is_object() && (!m || m->is_null()) && member_of(list, "total_count");
  static const json::array none;
  if (nothing) return &none;
  return fail(ErrorCode::unavailable, fmt::format("GitHub's answer has no list of {}", name), "github");
}

template <class T, class Read>
Result<std::vector<T>> read_all(const json::value& list, std::string_view name, Read read) {
  MAYFLY_ASSIGN(const json::array* all, elements(list, name));
  std::vector<T> out;
  for (const auto& e : *all)
    if (std::optional<T> one = read(e)) out.push_back(std::move(*one));
  return out;
}

std::optional<Runner> runner_from(const json::value& v) {
  Runner r;
  r.id = number_of(v, "id");
  r.name = text_of(v, "name");
  r.online = to_lower(text_of(v, "status")) == "online";
  r.busy = flag_of(v, "busy");
  r.labels = labels_of(v);
  return r.id > 0 ? std::optional(std::move(r)) : std::nullopt;
}

std::optional<WorkflowRun> run_from(const json::value& v) {
  WorkflowRun r{number_of(v, "id"), to_lower(text_of(v, "status")), time_of(v, "updated_at")};
  return r.id > 0 ? std::optional(std::move(r)) : std::nullopt;
}

std::optional<Delivery> delivery_from(const json::value& v) {
  Delivery d;
  d.id = number_of(v, "id");
  d.guid = text_of(v, "guid");
  d.event = text_of(v, "event");
  d.action = text_of(v, "action");
  d.delivered_at = time_of(v, "delivered_at");
  d.status_code = static_cast<int>(std::clamp<std::int64_t>(number_of(v, "status_code"), 0, 999));
  d.redelivery = flag_of(v, "redelivery");
  return d.id > 0 && !d.guid.empty() ? std::optional(std::move(d)) : std::nullopt;
}

std::optional<int> digits(std::string_view text, std::size_t at, std::size_t count) {
  int value = 0;
  if (text.size() < at + count) return std::nullopt;
  for (char c : text.substr(at, count)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  return value;
}

// "Z", "+02:00", "-0730"; in seconds east of Greenwich.
std::optional<std::int64_t> offset_of(std::string_view text) {
  if (text == "Z" || text == "z" || text.empty()) return 0;
  if (text[0] != '+' && text[0] != '-') return std::nullopt;
  auto hours = digits(text, 1, 2), minutes = digits(text, text.size() == 6 ? 4 : 3, 2);
  if (!hours || !minutes || (text.size() != 5 && text.size() != 6)) return std::nullopt;
  return (text[0] == '-' ? -1 : 1) * (*hours * 3600 + *minutes * 60);
}

}  // namespace

Time WorkflowJob::latest() const { return std::max({created_at, started_at, completed_at}); }

const json::value* member_of(const json::value& object, std::string_view name) {
  auto* o = object.if_object();
  return o ? o->if_contains(name) : nullptr;
}

std::string text_of(const json::value& object, std::string_view name) {
  auto* m = member_of(object, name);
  if (!m) return {};
  if (m->is_string()) return std::string(m->get_string());
  if (m->is_int64()) return std::to_string(m->get_int64());
  return {};
}

std::int64_t number_of(const json::value& object, std::string_view name) {
  auto* m = member_of(object, name);
  if (!m) return 0;
  if (m->is_int64()) return m->get_int64();
  if (m->is_string()) {
    std::int64_t value = 0;
    const auto& s = m->get_string();
    auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), value);
    if (ec == std::errc() && end == s.data() + s.size()) return value;
  }
  return 0;
}

Result<json::value> parse(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  json::error_code ec;
  json::parse_options options;
  options.max_depth = 32;
  auto value = json::parse(text, ec, {}, options);
  if (ec) return fail(ErrorCode::unavailable, "this is not JSON: " + ec.message(), "github");
  return value;
}

std::optional<WorkflowJob> job_from(const json::value& v, const std::string& repository) {
  WorkflowJob j;
  j.id = number_of(v, "id");
  j.run_id = number_of(v, "run_id");
  j.run_attempt = number_of(v, "run_attempt");
  j.repository = repository;
  j.name = text_of(v, "name");
  j.workflow = text_of(v, "workflow_name");
  j.status = to_lower(text_of(v, "status"));
  j.conclusion = to_lower(text_of(v, "conclusion"));
  j.labels = labels_of(v);
  j.runner_id = number_of(v, "runner_id");
  j.runner_name = text_of(v, "runner_name");
  j.url = text_of(v, "html_url");
  j.created_at = time_of(v, "created_at");
  j.started_at = time_of(v, "started_at");
  j.completed_at = time_of(v, "completed_at");
  return j.id > 0 ? std::optional(std::move(j)) : std::nullopt;
}

Result<std::vector<WorkflowJob>> jobs_from(const json::value& list, const std::string& repository) {
  return read_all<WorkflowJob>(list, "jobs", [&](const json::value& v) { return job_from(v, repository); });
}

Result<std::vector<WorkflowRun>> runs_from(const json::value& list) {
  return read_all<WorkflowRun>(list, "workflow_runs", run_from);
}

Result<std::vector<Runner>> runners_from(const json::value& list) {
  return read_all<Runner>(list, "runners", runner_from);
}

Result<std::vector<Delivery>> deliveries_from(const json::value& list) {
  return read_all<Delivery>(list, "deliveries", delivery_from);
}

Result<std::vector<std::string>> repositories_from(const json::value& list) {
  return read_all<std::string>(list, "repositories", [](const json::value& v) -> std::optional<std::string> {
    auto name = text_of(v, "full_name");
    if (name.empty() || flag_of(v, "archived") || flag_of(v, "disabled")) return std::nullopt;
    return name;
  });
}

Result<JitRunner> jit_runner_from(const json::value& value) {
  JitRunner out;
  out.config = text_of(value, "encoded_jit_config");
  auto* runner = member_of(value, "runner");
  auto read = runner ? runner_from(*runner) : std::nullopt;
  if (out.config.empty() || !read)
    return fail(ErrorCode::unavailable, "GitHub's answer has no runner configuration", "github");
  out.runner = std::move(*read);
  return out;
}

Result<InstallationToken> installation_token_from(const json::value& value) {
  InstallationToken t{text_of(value, "token"), time_of(value, "expires_at")};
  if (t.token.empty()) return fail(ErrorCode::unavailable, "GitHub's answer has no token", "github");
  return t;
}

std::optional<std::int64_t> runner_group_from(const json::value& list, std::string_view name) {
  auto groups = elements(list, "runner_groups");
  if (!groups) return std::nullopt;
  for (const auto& g : **groups)
    if (to_lower(text_of(g, "name")) == to_lower(name) && number_of(g, "id") > 0) return number_of(g, "id");
  return std::nullopt;
}

std::string message_from(std::string_view body) {
  auto parsed = parse(body);
  if (!parsed) return {};
  auto out = text_of(*parsed, "message");
  if (auto* errors = member_of(*parsed, "errors"); errors && errors->is_array())
    for (const auto& e : errors->get_array()) {
      auto more = e.is_string() ? std::string(e.get_string()) : text_of(e, "message");
      if (!more.empty()) out += (out.empty() ? "" : ": ") + more;
    }
  if (out.size() > 300) out.resize(300);
  std::replace_if(
      out.begin(), out.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, ' ');
  if (auto bad = ill_formed_utf8(out); bad != std::string::npos) out.resize(bad);
  while (out.ends_with('.')) out.pop_back();
  return out;
}

std::optional<Time> parse_time(std::string_view text) {
  auto year = digits(text, 0, 4), month = digits(text, 5, 2), day = digits(text, 8, 2), hour = digits(text, 11, 2),
       minute = digits(text, 14, 2), second = digits(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second || text[4] != '-' || text[7] != '-' || text[13] != ':' ||
      text[16] != ':' || (text[10] != 'T' && text[10] != 't' && text[10] != ' '))
    return std::nullopt;
  namespace c = std::chrono;
  c::year_month_day date{c::year(*year), c::month(static_cast<unsigned>(*month)), c::day(static_cast<unsigned>(*day))};
  if (!date.ok() || *year < 1970 || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  auto rest = text.substr(19);
  std::int64_t micros = 0, unit = 100'000;
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    if (!digits(rest, 0, 1)) return std::nullopt;
    for (; !rest.empty() && rest[0] >= '0' && rest[0] <= '9'; rest.remove_prefix(1), unit /= 10)
      micros += (rest[0] - '0') * unit;
  }
  auto offset = offset_of(rest);
  if (!offset) return std::nullopt;
  return Time(c::sys_days(date)) + c::hours(*hour) + c::minutes(*minute) + seconds(*second - *offset) +
         Duration(micros);
}

std::optional<std::string> next_link(std::string_view header) {
  for (std::size_t at = 0; (at = header.find('<', at)) != std::string_view::npos;) {
    auto end = header.find('>', at);
    if (end == std::string_view::npos) return std::nullopt;
    auto target = header.substr(at + 1, end - at - 1);
    auto next = header.find('<', end);
    auto parameters = to_lower(header.substr(end, next == std::string_view::npos ? next : next - end));
    std::erase(parameters, ' ');
    if (parameters.find(";rel=\"next\"") != std::string::npos || parameters.find(";rel=next") != std::string::npos)
      return std::string(target);
    at = end;
  }
  return std::nullopt;
}

}  // namespace mayfly::github
