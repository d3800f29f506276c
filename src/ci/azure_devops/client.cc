#include "ci/azure_devops/client.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <ctime>

#include <fmt/format.h>

#include "base/text.h"
#include "ci/azure_devops/agent_key.h"
#include "ci/azure_devops/replies.h"

namespace mayfly::azure_devops {
namespace {

constexpr std::size_t max_body = 32u << 20;
constexpr std::size_t max_idle = 8;
// Names Azure DevOps in every tenant (learn.microsoft.com, "Use service principals and managed identities").
constexpr std::string_view scope = "499b84ac-1321-427f-aa17-267ca6975798/.default";

std::string header(const HttpAnswer& answer, const std::string& name) {
  auto it = answer.headers.find(name);
  return it == answer.headers.end() ? std::string() : it->second;
}

// "Sun, 06 Nov 1994 08:49:37 GMT", the one form that servers may send.
std::optional<std::time_t> parse_http_date(const std::string& text) {
  std::tm tm{};
  const char* end = ::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &tm);
  return end && *end == 0 ? std::optional(::timegm(&tm)) : std::nullopt;
}

bool looks_like_json(std::string_view body) {
  if (body.starts_with("\xef\xbb\xbf")) body.remove_prefix(3);
  body = trim(body);
  return body.starts_with('{') || body.starts_with('[');
}

Unexpected sign_in_failed(const Account& account, const std::string& how) {
  auto next = account.token_secret.empty()
                  ? std::string(
                        "Check client_id, tenant_id and client_secret, that the secret has not expired, and that "
                        "the service principal is a user of the organisation.")
                  : fmt::format(
                        "Check that the token in secret '{}' is complete, has not expired and is for this "
                        "organisation.",
                        account.token_secret);
  return fail(ErrorCode::denied, "Azure DevOps did not accept the sign-in: " + how, account.url, next);
}

// Borrowed from the idle ones, given back when done; one that failed is not used again.
class Borrowed {
 public:
  Borrowed(std::mutex& mutex, std::vector<HttpClient>& idle, const HttpServer& server)
      : mutex_(mutex), idle_(idle), client_(server) {
    std::lock_guard lock(mutex_);
    if (idle_.empty()) return;
    client_ = std::move(idle_.back());
    idle_.pop_back();
  }
  HttpClient& operator*() { return client_; }
  void give_back() {
    std::lock_guard lock(mutex_);
    if (idle_.size() < max_idle) idle_.push_back(std::move(client_));
  }

 private:
  std::mutex& mutex_;
  std::vector<HttpClient>& idle_;
  HttpClient client_;
};

}  // namespace

Duration retry_after(const std::string& value, const std::string& date) {
  constexpr Duration longest = std::chrono::minutes(10);
  double number = 0;
  auto [end, ec] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (ec == std::errc() && end == value.data() + value.size())
    return number > 0 ? std::min(longest, Duration(static_cast<std::int64_t>(std::min(number, 1e6) * 1e6)))
                      : Duration{};
  auto at = parse_http_date(value), now = parse_http_date(date);
  if (!at || !now || *at <= *now) return {};
  return std::min<Duration>(longest, seconds(*at - *now));
}

Client::Client(Account account, SecretStore& secrets) : account_(std::move(account)), secrets_(secrets) {
  while (account_.url.ends_with('/')) account_.url.pop_back();
  auto parts = split_url(account_.url);
  server_.url = parts.origin;
  server_.ca_file = account_.ca_file;
  base_ = parts.path;
  login_.url = split_url(account_.login_url).origin;
}

Result<std::string> Client::fallback_token() {
  MAYFLY_ASSIGN(auto token, secrets_.get(account_.fallback_token_secret));
  return std::string(trim(token));
}

Pace Client::pace() const {
  std::lock_guard lock(mutex_);
  auto left = wait_until_ - std::chrono::steady_clock::now();
  return {std::max<Duration>(Duration{}, std::chrono::duration_cast<Duration>(left)), near_limit_};
}

Duration Client::behind() const {
  std::lock_guard lock(mutex_);
  return behind_;
}

Result<HttpAnswer> Client::exchange(const HttpServer& server, HttpRequest request, Deadline deadline) {
  auto left = std::chrono::duration_cast<Duration>(deadline - std::chrono::steady_clock::now());
  if (left <= Duration{}) return fail(ErrorCode::timeout, "no time was left to ask", server.url);
  request.timeout = std::min<Duration>(left, seconds(60));
  request.limit = max_body;
  if (&server != &server_) return HttpClient(server).request(request, stop_);
  Borrowed client(mutex_, idle_, server_);
  auto answer = (*client).request(request, stop_);
  if (answer) client.give_back();
  return answer;
}

Result<std::string> Client::entra_token(Deadline deadline) {
  MAYFLY_ASSIGN(auto secret, secrets_.get(account_.client_secret_secret));
  auto made_of = std::string(trim(secret));
  {
    std::lock_guard lock(mutex_);
    if (!token_.empty() && token_made_of_ == made_of && std::chrono::steady_clock::now() < token_until_) return token_;
  }
  HttpRequest request;
  request.method = "POST";
  request.path = split_url(account_.login_url).path + "/" + url_encode(account_.tenant_id) + "/oauth2/v2.0/token";
  request.content_type = "application/x-www-form-urlencoded";
  request.body = fmt::format("grant_type=client_credentials&client_id={}&scope={}&client_secret={}",
                             url_encode(account_.client_id), url_encode(scope), url_encode(made_of));
  MAYFLY_ASSIGN(auto answer, exchange(login_, std::move(request), deadline));
  auto said = error_message(answer.body);
  note_headers(answer);
  if (answer.status == 429 || answer.status / 100 == 5)
    return fail(ErrorCode::unavailable, fmt::format("Entra answered {} to the sign-in. {}", answer.status, said),
                login_.url);
  if (answer.status / 100 != 2)
    return sign_in_failed(account_, fmt::format("Entra answered {}. {}", answer.status, said));
  auto token = parse_token(answer.body);
  if (!token) return sign_in_failed(account_, "Entra's answer has no token in it");
  std::lock_guard lock(mutex_);
  token_ = token->value;
  token_made_of_ = made_of;
  // Early enough that no request carries one that runs out under way.
  token_until_ = after(std::max<Duration>(token->lifetime - std::chrono::minutes(5), token->lifetime / 2));
  return token_;
}

Result<std::string> Client::authorization(Deadline deadline) {
  if (account_.token_secret.empty()) {
    MAYFLY_ASSIGN(auto token, entra_token(deadline));
    return "Bearer " + token;
  }
  MAYFLY_ASSIGN(auto token, secrets_.get(account_.token_secret));
  return "Basic " + base64_encode(":" + std::string(trim(token)));
}

Result<Reply> Client::call(const std::string& method, const std::string& path, const std::string& body,
                           Deadline deadline, const std::string& rights) {
  if (auto wait = pace().wait; wait > Duration{})
    return fail(ErrorCode::unavailable, fmt::format("Azure DevOps asked for no requests for {}", format_duration(wait)),
                account_.url);
  for (bool again = false;; again = true) {
    HttpRequest request;
    request.method = method;
    request.path = base_ + path;
    request.body = body;
    MAYFLY_ASSIGN(auto authorization, authorization(deadline));
    // Without it a bad token is answered by a redirect to a page for people to sign in.
    request.headers = {
        {"Authorization", authorization}, {"Accept", "application/json"}, {"X-TFS-FedAuthRedirect", "Suppress"}};
    MAYFLY_ASSIGN(auto answer, exchange(server_, std::move(request), deadline));
    note_headers(answer);
    bool renewable = account_.token_secret.empty() && !again;
    if (answer.status == 401 && renewable) {  // revoked before its time: once more with a new one
      std::lock_guard lock(mutex_);
      token_.clear();
      continue;
    }
    return judge(std::move(answer), method + " " + path.substr(0, path.find('?')), rights);
  }
}

void Client::note_headers(const HttpAnswer& answer) {
  auto date = header(answer, "date");
  auto wait = retry_after(header(answer, "retry-after"), date);
  // A limit without a word on when it ends; the service's own window is five minutes.
  if (answer.status == 429 && wait == Duration{}) wait = seconds(30);
  auto delay = header(answer, "x-ratelimit-delay"), remaining = header(answer, "x-ratelimit-remaining");
  auto theirs = parse_http_date(date);
  std::lock_guard lock(mutex_);
  if (wait > Duration{}) wait_until_ = std::max(wait_until_, after(wait));
  near_limit_ = wait > Duration{} || !delay.empty() || (!remaining.empty() && std::atof(remaining.c_str()) <= 0);
  if (theirs) behind_ = seconds(*theirs - std::time(nullptr));
}

Result<Reply> Client::judge(HttpAnswer answer, const std::string& what, const std::string& rights) {
  auto said = error_message(answer.body);
  auto describe = [&](std::string_view meaning) {
    return fmt::format("{}: {} ({}){}{}", what, meaning, answer.status, said.empty() ? "" : ": ", said);
  };
  if (answer.status / 100 == 2) {
    bool empty = trim(answer.body).empty();
    if (answer.status == 203 || (!empty && !looks_like_json(answer.body)))
      return sign_in_failed(account_,
                            fmt::format("{} brought {} instead of an answer", what,
                                        answer.content_type.empty() ? "something else" : answer.content_type));
    return Reply{std::move(answer.body), header(answer, "x-ms-continuationtoken")};
  }
  if (answer.status == 401 || answer.status / 100 == 3)
    return sign_in_failed(account_, fmt::format("{} was answered {}", what, answer.status));
  if (answer.status == 403)
    return fail(
        ErrorCode::denied, describe("not allowed"), account_.url,
        !rights.empty()
            ? rights
            : fmt::format("Give it the role Administrator of the agent pool '{}' (Organization settings, Agent pools, "
                          "Security); a token also needs the scope Agent Pools (read, manage).",
                          account_.pool));
  if (answer.status == 404) return fail(ErrorCode::not_found, describe("not found"), account_.url);
  if (answer.status == 409) return fail(ErrorCode::conflict, describe("conflict"), account_.url);
  if (answer.status == 429) return fail(ErrorCode::unavailable, describe("too many requests"), account_.url);
  if (answer.status / 100 == 4 && answer.status != 408)
    return fail(ErrorCode::invalid, describe("refused"), account_.url);
  return fail(ErrorCode::unavailable, describe("the service failed"), account_.url);
}

}  // namespace mayfly::azure_devops
