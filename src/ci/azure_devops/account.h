#pragma once
// Which organisation or collection, which of its pools, and with which right: what the configuration says. The values
// of secrets are asked for anew with each request, so that a rotated one needs no restart.
#include <map>
#include <string>

#include "base/result.h"
#include "ci/azure_devops/demands.h"

namespace mayfly::azure_devops {

struct Account {
  std::string url;   // "https://dev.azure.com/acme", "https://tfs.acme.example/tfs/DefaultCollection"; no / at the end
  std::string pool;  // by name
  // An agent that is registered there for good and never runs: without one a job in an empty pool fails at once.
  std::string placeholder;
  std::string ca_file = {};  // PEM, of a server of one's own; empty: the system's
  // One of: a personal access token, or a service principal of Entra.
  std::string token_secret = {};
  std::string tenant_id = {}, client_id = {}, client_secret_secret = {};
  std::string login_url = "https://login.microsoftonline.com";  // of Entra; another in sovereign clouds
  // What builders of this pool have, beyond what their agent finds out by itself.
  Capabilities capabilities = {};
  Case match = Case::ignore;
  std::string agent_version = {};  // that the image has
  // Only where the server refuses agents registered by us: the secret that config.sh in the builder gets.
  std::string fallback_token_secret = {};
};

// From the keys of `ci: {azure-devops: {…}}` (model/pool.h); `mayfly_pool` names the placeholder. An error's `where` is
// the key to blame. A capability NAME is the key "capabilities.NAME".
Result<Account> account_from(const std::map<std::string, std::string>& settings, const std::string& mayfly_pool);

}  // namespace mayfly::azure_devops
