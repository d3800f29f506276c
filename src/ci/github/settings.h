#pragma once
// What `ci: {github: {…}}` of a pool says. A value; any thread.
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "ci/github/address.h"

namespace mayfly::github {

struct Settings {
  Address address;
  std::vector<std::string> repositories;  // "owner/name": of an organisation only these; empty: all
  std::string token;                      // the name of the secret that holds a personal access token, or
  std::string app_id;                     // an App's client id or number, with
  std::string private_key;                // the name of the secret that holds its key
  std::int64_t installation_id = 0;       // 0: found by the address
  std::string webhook_secret;             // the name of the secret; empty: no webhooks
  std::vector<std::string> labels;        // the pool's own
  std::string runner_group;               // empty: the default one

  // Pools with the same one share connections, credentials and the budget of requests.
  std::string account() const;
};

// From the keys as they are written: url or organization or repository; token, or app_id and private_key; lists with
// commas or line ends between. invalid: names the key (`where`) and what to write.
Result<Settings> settings_from(const std::map<std::string, std::string>& keys);

}  // namespace mayfly::github
