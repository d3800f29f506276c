#pragma once
// Requests to one GitHub server with one credential: authenticated, paced by one budget, repeated where that is right,
// and judged. Shared by all pools that use the credential. Any thread; calls block until their deadline at most.
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "ci/github/address.h"
#include "ci/github/answer_cache.h"
#include "ci/github/rate_budget.h"
#include "ci/github/wire.h"
#include "os/http_client.h"
#include "ports/platform.h"

namespace mayfly::github {

// Asked for each time a value is needed, so that a rotated secret needs no restart.
using SecretReader = std::function<Result<std::string>()>;

// One of the two: a personal access token, or an App.
struct Credentials {
  SecretReader token;
  std::string app_id;                // the App's client id or number
  SecretReader private_key;          // PEM
  std::int64_t installation_id = 0;  // 0: asked of GitHub, by the address
  bool app() const { return !app_id.empty(); }
};

struct Call {
  std::string method = "GET";
  std::string path;  // without the server's prefix: "/repos/acme/site/actions/runs?status=queued"
  std::string body = {};
  Urgency urgency = Urgency::routine;
  bool conditional = false;  // a GET that often finds nothing new: by ETag, which costs nothing then
  bool as_app = false;       // as the App itself, not as its installation
};

struct Reply {
  int status = 0;
  json::value value;                // null where there was no body
  std::optional<std::string> next;  // the path of the next page
};

class Api {
 public:
  // `clock` outlives it.
  Api(Address address, Credentials credentials, const Clock& clock);

  // 2xx only. Errors: denied (credentials or rights, with what is missing), not_found (or hidden from us), conflict
  // (409), invalid (422 and other refusals), exhausted (throttled: see wait()), unavailable (5xx, no connection, an
  // answer that is not JSON), timeout. No error has a credential in its text.
  Result<Reply> call(const Call& call, Deadline deadline);

  // Page after page, at most `max_pages`, until `take` says false. Gives whether there was nothing more to see.
  Result<bool> pages(Call call, int max_pages, const std::function<Result<bool>(const json::value&)>& take,
                     Deadline deadline);

  // How long a routine request would have to wait now.
  Duration wait();
  // By GitHub's clock.
  Time server_now();
  // From now on every call is given up, with `unavailable`.
  void abandon() { stop_.raise(); }
  const Credentials& credentials() const { return credentials_; }

 private:
  struct Exchange {
    HttpAnswer answer;
    std::string path;          // that answered, after a redirect
    AnswerCache::Found known;  // what its ETag was sent of
  };
  Result<Exchange> exchange(const Call& call, Deadline deadline);
  Result<HttpAnswer> send(const Call& call, const std::string& path, const std::string& bearer, const std::string& etag,
                          Deadline deadline);
  Result<void> admit(Urgency urgency, Deadline deadline);
  Result<std::string> bearer(bool as_app, Deadline deadline);
  Result<std::string> installation_token(Deadline deadline);
  Result<std::int64_t> installation(Deadline deadline);
  void refused(bool as_app, const std::string& bearer);
  Result<Reply> judge(const Call& call, const Exchange& exchange) const;
  Error refusal(const Call& call, const HttpAnswer& answer) const;
  std::optional<std::string> path_of(const std::string& url) const;

  const Address address_;
  const Credentials credentials_;
  const Clock& clock_;
  os::StopSignal stop_;

  std::mutex mutex_;  // all below
  RateBudget budget_;
  AnswerCache cache_;
  std::vector<std::unique_ptr<HttpClient>> idle_;

  std::timed_mutex token_mutex_;  // one token is made at a time; never taken while mutex_ is held
  InstallationToken token_;
  Time renew_at_{};  // by GitHub's clock
  std::int64_t installation_id_ = 0;
};

}  // namespace mayfly::github
