#pragma once
// Requests to one organisation or collection: signs in, keeps the service's limits, and tells its answers apart. Any
// thread; each call uses a connection of its own while it lasts.
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "ci/azure_devops/account.h"
#include "os/http_client.h"
#include "ports/platform.h"
#include "ports/secret_store.h"

namespace mayfly::azure_devops {

struct Reply {
  std::string body;          // JSON; may be empty where nothing was asked for
  std::string continuation;  // of a list that goes on
};

// What the service asked of us by its headers.
struct Pace {
  Duration wait{};    // until the next request; 0: none
  bool near = false;  // the limit is near, or requests are delayed already
};

class Client {
 public:
  Client(Account account, SecretStore& secrets);

  // `path` is below the account's URL: "/_apis/…". 200–299 with JSON is a Reply (204, or no body: an empty one).
  // Errors: not_found, conflict, invalid (400), denied (401, 403, and a sign-in page instead of an answer: what the
  // service sends for a bad token), unavailable (5xx, the network, 429, and while we were asked to wait: see pace()),
  // timeout. `rights`: what to grant where it is not allowed; empty: those over the agent pool.
  Result<Reply> call(const std::string& method, const std::string& path, const std::string& body, Deadline deadline,
                     const std::string& rights = {});
  // From now on every call is given up, with `unavailable`.
  void abandon() { stop_.raise(); }

  // The value of the secret that the fallback hands out.
  Result<std::string> fallback_token();
  Pace pace() const;
  // How far this machine's clock is behind the service's; negative: ahead. 0 until an answer said.
  Duration behind() const;
  const Account& account() const { return account_; }

 private:
  Result<HttpAnswer> exchange(const HttpServer& server, HttpRequest request, Deadline deadline);
  Result<std::string> authorization(Deadline deadline);
  Result<std::string> entra_token(Deadline deadline);
  Result<Reply> judge(HttpAnswer answer, const std::string& what, const std::string& rights);
  void note_headers(const HttpAnswer& answer);

  Account account_;
  SecretStore& secrets_;
  HttpServer server_, login_;
  std::string base_;  // the URL's path
  os::StopSignal stop_;
  mutable std::mutex mutex_;
  std::vector<HttpClient> idle_;  // connections to server_
  std::string token_;             // Entra's, while it is good
  std::string token_made_of_;     // the client secret that it was got with
  Deadline token_until_{};
  Deadline wait_until_{};
  bool near_limit_ = false;
  Duration behind_{};
};

// "120", or a date: relative to `date`, the answer's own, so that nobody's clock matters. At most ten minutes.
Duration retry_after(const std::string& value, const std::string& date);

}  // namespace mayfly::azure_devops
