#include "ci/github/api.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "ci/github/app_token.h"

namespace mayfly::github {
namespace {

constexpr auto longest_call = seconds(20);
constexpr auto longest_wait = seconds(2);  // for the budget, in the middle of a call
constexpr auto renew_before = std::chrono::minutes(5);
constexpr std::size_t max_answer = 32u << 20;
constexpr std::size_t max_idle = 8;

Duration left(Deadline deadline) {
  return std::chrono::duration_cast<Duration>(deadline - std::chrono::steady_clock::now());
}

std::string header(const HttpAnswer& answer, const char* name) {
  auto found = answer.headers.find(name);
  return found == answer.headers.end() ? "" : found->second;
}

bool about_a_limit(const HttpAnswer& answer) {
  return answer.status == 429 ||
         (answer.status == 403 &&
          (answer.headers.contains("retry-after") || header(answer, "x-ratelimit-remaining") == "0" ||
           to_lower(message_from(answer.body)).find("rate limit") != std::string::npos));
}

bool redirects(int status) { return status == 301 || status == 302 || status == 307 || status == 308; }

}  // namespace

Api::Api(Address address, Credentials credentials, const Clock& clock)
    : address_(std::move(address)),
      credentials_(std::move(credentials)),
      clock_(clock),
      installation_id_(credentials_.installation_id) {}

Duration Api::wait() {
  std::lock_guard lock(mutex_);
  return budget_.wait(clock_.now());
}

Time Api::server_now() {
  std::lock_guard lock(mutex_);
  return clock_.now() + budget_.skew();
}

Result<void> Api::admit(Urgency urgency, Deadline deadline) {
  for (;;) {
    std::unique_lock lock(mutex_);
    auto wait = budget_.admit(urgency, clock_.now());
    lock.unlock();
    if (wait <= Duration(0)) return {};
    if (wait > longest_wait || wait > left(deadline))
      return fail(ErrorCode::exhausted,
                  fmt::format("GitHub's rate limit leaves no request for {}", format_duration(wait)), address_.server);
    if (stop_.wait(wait)) return fail(ErrorCode::unavailable, "given up: the daemon ends", address_.server);
  }
}

Result<HttpAnswer> Api::send(const Call& call, const std::string& path, const std::string& bearer,
                             const std::string& etag, Deadline deadline) {
  MAYFLY_TRY(admit(call.urgency, deadline));
  auto time = std::min<Duration>(left(deadline), longest_call);
  if (time < milliseconds(1)) return fail(ErrorCode::timeout, "no time is left for a request", address_.server);
  HttpRequest request{.method = call.method, .path = address_.prefix + path, .body = call.body, .timeout = time};
  request.limit = max_answer;
  request.headers = {{"Authorization", "Bearer " + bearer},
                     {"Accept", "application/vnd.github+json"},
                     {"X-GitHub-Api-Version", "2022-11-28"},
                     {"User-Agent", "mayfly"}};  // GitHub refuses requests without one
  if (!etag.empty()) request.headers.emplace_back("If-None-Match", etag);
  std::unique_ptr<HttpClient> client;
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) client = std::move(idle_.back()), idle_.pop_back();
  }
  if (!client) client = std::make_unique<HttpClient>(HttpServer{.url = address_.server});
  auto answer = client->request(request, stop_);
  std::lock_guard lock(mutex_);
  if (answer) {
    budget_.heard(answer->status, answer->headers, about_a_limit(*answer), clock_.now());
    if (idle_.size() < max_idle) idle_.push_back(std::move(client));
  }
  return answer;
}

Result<std::int64_t> Api::installation(Deadline deadline) {
  if (installation_id_ != 0) return installation_id_;
  auto path = address_.whole_organization()
                  ? fmt::format("/orgs/{}/installation", address_.owner)
                  : fmt::format("/repos/{}/{}/installation", address_.owner, address_.repository);
  auto reply = call({.path = path, .urgency = Urgency::urgent, .as_app = true}, deadline);
  if (!reply && reply.error().code == ErrorCode::not_found)
    return fail(ErrorCode::denied, fmt::format("the App {} is not installed there", credentials_.app_id),
                address_.text(), "Install it: the App's settings, Install App.");
  if (!reply) return Unexpected(reply.error());
  auto id = number_of(reply->value, "id");
  if (id <= 0) return fail(ErrorCode::unavailable, "GitHub's answer has no installation", address_.server);
  return installation_id_ = id;
}

Result<std::string> Api::installation_token(Deadline deadline) {
  std::unique_lock lock(token_mutex_, std::defer_lock);
  if (!lock.try_lock_until(deadline)) return fail(ErrorCode::timeout, "no token was made in time", address_.server);
  if (!token_.token.empty() && server_now() < renew_at_) return token_.token;
  MAYFLY_ASSIGN(auto id, installation(deadline));
  auto path = fmt::format("/app/installations/{}/access_tokens", id);
  MAYFLY_ASSIGN(
      auto reply,
      call({.method = "POST", .path = path, .body = "{}", .urgency = Urgency::urgent, .as_app = true}, deadline));
  MAYFLY_ASSIGN(token_, installation_token_from(reply.value));
  // Without a time that makes sense it is good for this call, and the next one makes another.
  auto life = token_.expires_at - server_now();
  renew_at_ = token_.expires_at - std::min<Duration>(renew_before, life / 2);
  return token_.token;
}

Result<std::string> Api::bearer(bool as_app, Deadline deadline) {
  if (!credentials_.app()) {
    MAYFLY_ASSIGN(auto token, credentials_.token());
    return std::string(trim(token));
  }
  if (!as_app) return installation_token(deadline);
  MAYFLY_ASSIGN(auto key, credentials_.private_key());
  return app_token(credentials_.app_id, key, server_now());
}

// The token was revoked, or expired by a clock that is not ours: the next call makes another.
void Api::refused(bool as_app, const std::string& bearer) {
  if (!credentials_.app() || as_app) return;
  std::lock_guard lock(token_mutex_);
  if (token_.token == bearer) token_ = {};
}

std::optional<std::string> Api::path_of(const std::string& url) const {
  auto base = address_.server + address_.prefix;
  if (!url.starts_with(base + "/")) return std::nullopt;  // never send the token to another host
  return url.substr(base.size());
}

Result<Api::Exchange> Api::exchange(const Call& call, Deadline deadline) {
  std::string path = call.path;
  int refusals = 0, moves = 0;
  for (;;) {
    AnswerCache::Found known;
    if (call.conditional) {
      std::lock_guard lock(mutex_);
      known = cache_.find(path);
    }
    MAYFLY_ASSIGN(auto token, bearer(call.as_app, deadline));
    MAYFLY_ASSIGN(auto answer, send(call, path, token, known ? known->etag : "", deadline));
    // Once more: with another token, a rotated secret, or a JWT by GitHub's own clock, which the refusal has told.
    if (answer.status == 401 && refusals++ == 0) {
      refused(call.as_app, token);
      continue;
    }
    if (redirects(answer.status) && call.method == "GET" && moves++ < 3)
      if (auto moved = path_of(header(answer, "location"))) {
        path = *moved;
        continue;
      }
    return Exchange{std::move(answer), std::move(path), std::move(known)};
  }
}

Result<Reply> Api::call(const Call& call, Deadline deadline) {
  MAYFLY_ASSIGN(auto done, exchange(call, deadline));
  if (call.conditional) {
    if (done.answer.status == 304 && done.known) {
      done.answer.status = 200;
      done.answer.body = done.known->body;
      done.answer.headers["link"] = done.known->link;
    } else if (done.answer.status == 200) {
      std::lock_guard lock(mutex_);
      cache_.put({done.path, header(done.answer, "etag"), done.answer.body, header(done.answer, "link")});
    }
  }
  return judge(call, done);
}

Result<Reply> Api::judge(const Call& call, const Exchange& done) const {
  const auto& answer = done.answer;
  if (answer.status < 200 || answer.status > 299) return Unexpected(refusal(call, answer));
  Reply reply{answer.status, {}, {}};
  if (auto next = next_link(header(answer, "link"))) reply.next = path_of(*next);
  if (trim(answer.body).empty() && (answer.status == 202 || answer.status == 204)) return reply;
  auto value = parse(answer.body);
  if (!value)
    return fail(ErrorCode::unavailable,
                fmt::format("the answer to {} {} is {} instead of JSON", call.method, done.path,
                            answer.content_type.empty() ? "something" : answer.content_type.substr(0, 60)),
                address_.server, "Is there a proxy or a sign-in page between here and GitHub?");
  reply.value = std::move(*value);
  return reply;
}

Error Api::refusal(const Call& call, const HttpAnswer& answer) const {
  auto message = message_from(answer.body);
  auto what = fmt::format("{} {}: {}{}", call.method, call.path, answer.status, message.empty() ? "" : " " + message);
  auto permissions = header(answer, "x-accepted-github-permissions").substr(0, 200);
  auto needs = permissions.empty() ? "" : fmt::format("It needs: {}. ", permissions);
  if (about_a_limit(answer)) return {ErrorCode::exhausted, what, address_.server, {}};
  switch (answer.status) {
    case 401:
      return {ErrorCode::denied, what, address_.server,
              credentials_.app() ? "Check app_id and the private key; a deleted key or a suspended App looks like this."
                                 : "The token is wrong, expired or revoked: put a new one where the secret is."};
    case 403:
      return {ErrorCode::denied, what, address_.server, needs + "See docs/github.md, rights."};
    case 404:
      return {ErrorCode::not_found, what, address_.server,
              needs + "GitHub says this, too, of what the credential may not see."};
    case 409:
      return {ErrorCode::conflict, what, address_.server, {}};
    case 408:
      return {ErrorCode::unavailable, what, address_.server, {}};
    default:
      return {answer.status >= 500 ? ErrorCode::unavailable : ErrorCode::invalid, what, address_.server, {}};
  }
}

Result<bool> Api::pages(Call call, int max_pages, const std::function<Result<bool>(const json::value&)>& take,
                        Deadline deadline) {
  for (int page = 0; page < max_pages; ++page) {
    MAYFLY_ASSIGN(auto reply, this->call(call, deadline));
    MAYFLY_ASSIGN(bool more, take(reply.value));
    if (!more) return false;
    if (!reply.next) return true;
    call.path = *reply.next;
  }
  return false;
}

}  // namespace mayfly::github
