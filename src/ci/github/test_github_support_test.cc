// The GitHub that the tests talk to (test_github.h).
#include <algorithm>
#include <ctime>

#include "base/text.h"
#include "ci/github/test_github.h"

namespace mayfly::github::test {
namespace {

Answer said(int status, const json::value& body) { return {status, json::serialize(body)}; }
Answer message(int status, const char* text) {
  return said(status, {{"message", text}, {"documentation_url", "https://docs.github.com/rest"}});
}
// The same, as a later version might say it: members in another order, and more of them than are known.
json::value odd(const json::value& v) {
  if (v.is_array()) {
    json::array out;
    for (const auto& e : v.get_array()) out.push_back(odd(e));
    return out;
  }
  if (!v.is_object()) return v;
  json::object out{{"newer", json::object{{"deep", json::array{1, nullptr}}}}, {"newer_null", nullptr}};
  const auto& members = v.get_object();
  for (auto m = members.end(); m != members.begin();) {
    --m;
    out[m->key()] = odd(m->value());
  }
  return out;
}
json::value when(Time t) { return t == Time{} ? json::value(nullptr) : json::value(format_time(t)); }

json::value job_json(const FakeGithub::Job& j, Time now) {
  bool taken = !j.runner.empty();
  json::object o{{"run_url", "https://example.invalid"},
                 {"head_sha", "f83a356604ae3c5d03e1b46ef4d1ca77d64a90b0"},
                 {"labels", json::value_from(j.labels)},
                 {"status", j.status},
                 {"conclusion", j.conclusion.empty() ? json::value(nullptr) : json::value(j.conclusion)},
                 {"run_id", j.run},
                 {"id", j.id},
                 {"run_attempt", 1},
                 {"name", "build"},
                 {"workflow_name", nullptr},
                 {"created_at", when(j.queued_at)},
                 {"started_at", when(j.queued_at)},
                 {"completed_at", j.conclusion.empty() ? json::value(nullptr) : when(now)},
                 {"html_url", "https://github.com/" + j.repository + "/actions/runs/1/job/" + std::to_string(j.id)},
                 {"steps", json::array{}},
                 {"brand_new_member", json::object{{"deep", json::array{1, nullptr}}}}};
  o["runner_id"] = taken ? json::value(1) : json::value(nullptr);
  o["runner_name"] = taken ? json::value(j.runner) : json::value(nullptr);
  return o;
}

json::value runner_json(std::int64_t id, const FakeGithub::Runner& r) {
  json::array labels;
  for (const auto& l : r.labels) labels.push_back({{"name", l}, {"type", "custom"}, {"id", nullptr}});
  return {{"busy", r.busy},
          {"id", id},
          {"name", r.name},
          {"os", "unknown"},
          {"status", r.busy ? "online" : "offline"},
          {"ephemeral", true},
          {"runner_group_id", r.group},
          {"labels", labels}};
}

std::string decoded(std::string text) {
  for (char& c : text) c = c == '-' ? '+' : c == '_' ? '/' : c;
  while (text.size() % 4 != 0) text += '=';
  return base64_decode(text).value_or("");
}

std::string http_date(Time t) {
  std::time_t seconds_now = std::chrono::floor<seconds>(t).time_since_epoch().count();
  char text[64];
  std::tm tm{};
  std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&seconds_now, &tm));
  return text;
}

}  // namespace

FakeGithub::FakeGithub() : http_([this](const Asked& a) { return handle(a); }) {}

std::int64_t FakeGithub::runner_named(const std::string& name) {
  for (const auto& [id, r] : runners)
    if (r.name == name) return id;
  return 0;
}

std::optional<Answer> FakeGithub::handle(const Asked& a) {
  std::lock_guard lock(mutex);
  ++requests;
  if (fault == Fault::hangs) return std::nullopt;
  auto out = answer(a);
  out.headers["Date"] = http_date(now());
  if (fault == Fault::none) {
    out.headers["X-RateLimit-Limit"] = "5000";
    out.headers["X-RateLimit-Remaining"] = std::to_string(remaining);
    out.headers["X-RateLimit-Reset"] = std::to_string(to_micros(now() + std::chrono::minutes(30)) / 1'000'000);
  }
  return out;
}

Answer FakeGithub::answer(const Asked& a) {
  if (!a.headers.contains("user-agent")) return message(403, "Request forbidden by administrative rules.");
  switch (fault) {
    case Fault::throttled: {
      auto out = message(429, "API rate limit exceeded");
      out.headers["Retry-After"] = "7";
      return out;
    }
    case Fault::limit_reached: {
      auto out = message(403, "API rate limit exceeded for installation ID 55.");
      out.headers["X-RateLimit-Limit"] = "5000";
      out.headers["X-RateLimit-Remaining"] = "0";
      out.headers["X-RateLimit-Reset"] = std::to_string(to_micros(now() + seconds(20)) / 1'000'000);
      return out;
    }
    case Fault::secondary_limit:
      return message(403, "You have exceeded a secondary rate limit.");
    case Fault::server_error:
      return {502, "<html>Unicorn!</html>", {{"Content-Type", "text/html"}}};
    case Fault::not_json:
      return {200, "<html>Sign in</html>", {{"Content-Type", "text/html"}}};
    default:
      break;
  }
  if (!a.path.starts_with("/api/v3/")) return {404, "Not here", {{"Content-Type", "text/plain"}}};
  auto path = a.path.substr(7);
  asked.push_back(a.method + " " + path);
  if (auto refused = refuse(a)) return *refused;
  auto out = route(a, path);
  if (!lose_reply_to.empty() && path.ends_with(lose_reply_to)) {
    lose_reply_to.clear();
    return {502, "", {}};
  }
  if (fault == Fault::truncated) out.body.resize(out.body.size() / 2);
  if (fault == Fault::empty) return {200, ""};
  if (fault == Fault::odd && !out.body.empty()) out.body = json::serialize(odd(json::parse(out.body)));
  if (a.method != "GET" || out.status != 200) return out;
  auto etag = fmt::format("W/\"{}\"", std::hash<std::string>()(out.body));
  out.headers["ETag"] = etag;
  if (auto known = a.headers.find("if-none-match"); known != a.headers.end() && known->second == etag) {
    ++unchanged;
    return {304, "", {{"ETag", etag}}};
  }
  return out;
}

bool FakeGithub::is_app(const std::string& bearer) {
  auto parts = split(bearer, '.');
  if (parts.size() != 3 || !app_key->signed_by(parts[0] + "." + parts[1], decoded(parts[2]))) return false;
  auto claims = json::parse(decoded(parts[1])).as_object();
  auto iat = claims.at("iat").as_int64(), exp = claims.at("exp").as_int64(), clock = to_micros(now()) / 1'000'000;
  return iat <= clock && exp > clock && exp <= clock + 600 && claims.at("iss") == "Iv1.app";
}

std::optional<Answer> FakeGithub::refuse(const Asked& a) {
  auto header = a.headers.find("authorization");
  auto bearer = header == a.headers.end() ? "" : header->second.substr(header->second.find(' ') + 1);
  auto path = a.path.substr(7);
  bool as_app = path.starts_with("/app/") || path.ends_with("/installation");
  if (as_app ? is_app(bearer) : tokens.contains(bearer)) return std::nullopt;
  return message(401, "Bad credentials");
}

// As many as per_page says (30), the one that page says; Link names the next.
Answer FakeGithub::page(const Asked& a, const std::string& name, const std::vector<json::value>& all) {
  auto number = [&](const char* key, std::size_t missing) {
    auto found = a.query.find(key);
    return found == a.query.end() ? missing : std::stoul(found->second);
  };
  auto per = std::min<std::size_t>(number("per_page", 30), 100), at = number("page", 1);
  json::array some;
  for (std::size_t i = (at - 1) * per; i < std::min(at * per, all.size()); ++i) some.push_back(all[i]);
  auto out = name.empty() ? said(200, some) : said(200, {{"total_count", all.size()}, {name, some}});
  if (at * per < all.size()) {
    auto next = fmt::format("{}{}?page={}", http_.url(), a.path, at + 1);
    for (const auto& [k, v] : a.query)
      if (k != "page") next += "&" + k + "=" + v;
    out.headers["Link"] = fmt::format("<{0}>; rel=\"next\", <{0}>; rel=\"last\"", next);
  }
  return out;
}

Answer FakeGithub::route(const Asked& a, const std::string& path) {
  if (path.starts_with("/app/installations/")) return token(path);
  if (path.starts_with("/app/hook/deliveries")) return about_deliveries(a, path.substr(20));
  if (path == "/orgs/acme/installation") return said(200, {{"id", 55}, {"account", {{"login", "acme"}}}});
  if (path == "/installation/repositories" || path == "/orgs/acme/repos") {
    std::vector<json::value> all;
    for (const auto& r : repositories) all.push_back({{"full_name", r}, {"archived", false}, {"language", nullptr}});
    return page(a, path.starts_with("/orgs") ? "" : "repositories", all);
  }
  if (path == "/orgs/acme/actions/runner-groups") {
    std::vector<json::value> all;
    for (const auto& [name, id] : groups) all.push_back({{"id", id}, {"name", name}, {"default", id == 1}});
    return page(a, "runner_groups", all);
  }
  for (std::string place : {"/orgs/acme/actions/runners", "/repos/acme/site/actions/runners"})
    if (path.starts_with(place)) return about_runners(a, path.substr(place.size()));
  for (const auto& r : repositories) {
    if (auto base = "/repos/" + r + "/actions/"; path.starts_with(base))
      return about_runs(a, r, path.substr(base.size()));
    if (auto base = "/repos/" + r + "/statuses/"; path.starts_with(base) && a.method == "POST")
      return set_status(a, r, path.substr(base.size()));
  }
  return message(404, "Not Found");
}

Answer FakeGithub::token(const std::string& path) {
  if (path != "/app/installations/55/access_tokens") return message(404, "Integration not found");
  auto made = "ghs_" + std::to_string(++tokens_made);
  tokens.insert(made);
  return said(201, {{"token", made},
                    {"expires_at", format_time(now() + token_life)},
                    {"permissions", {{"actions", "read"}}},
                    {"repository_selection", "all"}});
}

Answer FakeGithub::set_status(const Asked& a, const std::string& repository, const std::string& commit) {
  auto body = json::parse(a.body).as_object();
  auto text = [&](const char* key) { return std::string(body.at(key).as_string()); };
  if (text("description").size() > 140) return message(422, "Validation Failed");
  statuses.push_back(
      fmt::format("{} {} {} {} {}", repository, commit, text("state"), text("context"), text("description")));
  return said(201, {{"id", 1}, {"state", body.at("state")}, {"target_url", nullptr}, {"creator", nullptr}});
}

Answer FakeGithub::make_runner(const Asked& a) {
  auto body = json::parse(a.body).as_object();
  std::string name(body.at("name").as_string());
  if (runner_named(name) != 0) return message(409, "Already exists - A runner with the name already exists.");
  Runner r{name, false, json::value_to<std::vector<std::string>>(body.at("labels")),
           body.at("runner_group_id").as_int64()};
  if (r.labels.empty() || r.labels.size() > 100 || name.size() > 64) return message(422, "Validation Failed");
  auto id = ++next_runner_;
  runners[id] = r;
  return said(201, {{"encoded_jit_config", base64_encode("secret configuration of " + name + std::to_string(id))},
                    {"runner", runner_json(id, r)}});
}

Answer FakeGithub::about_runners(const Asked& a, const std::string& rest) {
  if (rest == "/generate-jitconfig" && a.method == "POST") return make_runner(a);
  if (rest.empty()) {
    std::vector<json::value> all;
    auto wanted = a.query.find("name");
    for (const auto& [id, r] : runners)
      if (wanted == a.query.end() || wanted->second == r.name) all.push_back(runner_json(id, r));
    return page(a, "runners", all);
  }
  auto found = runners.find(std::stoll(rest.substr(1)));
  if (found == runners.end()) return message(404, "Not Found");
  if (a.method != "DELETE") return said(200, runner_json(found->first, found->second));
  if (found->second.busy) return message(422, "Bad request - Runner is currently running a job and cannot be deleted.");
  runners.erase(found);
  return {204, "", {}};
}

std::string FakeGithub::run_status(std::int64_t run) const {
  bool queued = true, ended = true;
  for (const auto& [id, j] : jobs) {
    if (j.run != run) continue;
    queued &= j.status == "queued";
    ended &= j.status == "completed";
  }
  return ended ? "completed" : queued ? "queued" : "in_progress";
}

Answer FakeGithub::about_runs(const Asked& a, const std::string& repository, const std::string& rest) {
  if (rest.starts_with("jobs/")) {
    auto j = jobs.find(std::stoll(rest.substr(5)));
    return j == jobs.end() || j->second.repository != repository ? message(404, "Not Found")
                                                                 : said(200, job_json(j->second, now()));
  }
  if (rest == "runs") {
    std::set<std::int64_t, std::greater<>> runs;  // the newest first
    for (const auto& [id, j] : jobs)
      if (j.repository == repository) runs.insert(j.run);
    std::vector<json::value> all;
    for (auto run : runs)
      if (auto status = run_status(run); !a.query.contains("status") || a.query.at("status") == status)
        all.push_back(
            {{"status", status}, {"id", run}, {"name", nullptr}, {"updated_at", format_time(Time(seconds(1)))}});
    return page(a, "workflow_runs", all);
  }
  if (rest.starts_with("runs/") && rest.ends_with("/jobs")) {
    std::vector<json::value> all;
    for (const auto& [id, j] : jobs)
      if (j.run == std::stoll(rest.substr(5)) && j.repository == repository)
        all.push_back(job_json(j, Time(seconds(2))));
    return all.empty() ? message(404, "Not Found") : page(a, "jobs", all);
  }
  return message(404, "Not Found");
}

Answer FakeGithub::about_deliveries(const Asked& a, const std::string& rest) {
  if (a.method == "POST" && rest.ends_with("/attempts")) {
    redelivered.insert(std::stoll(rest.substr(1)));
    return {202, "{}"};
  }
  std::vector<json::value> all;
  for (const auto& d : deliveries)
    all.push_back({{"id", d.id},
                   {"guid", d.guid},
                   {"event", d.event},
                   {"action", "queued"},
                   {"redelivery", false},
                   {"status_code", d.status},
                   {"status", d.status == 200 ? "OK" : "failed"},
                   {"duration", 0.27},
                   {"delivered_at", format_time(d.at)},
                   {"throttled_at", nullptr}});
  return page(a, "", all);
}

}  // namespace mayfly::github::test
