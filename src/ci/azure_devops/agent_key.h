#pragma once
// The key of one agent, and the three files that make the vendor's agent program be exactly that agent: what its
// configuration program would have written, had it registered itself. Facts from the program's source
// (microsoft/azure-pipelines-agent: ConfigurationManager, IRSAKeyManager, OAuthCredential). Pure but for randomness.
#include <string>

#include "base/result.h"
#include "ci/azure_devops/replies.h"

namespace mayfly::azure_devops {

// RSA-2048 by OpenSSL. Each member is base64 of big-endian bytes of the full length that .NET insists on: 256 for the
// modulus and d, 128 for the others (3 for the exponent).
struct AgentKey {
  std::string modulus, exponent;           // public: for the server
  std::string d, p, q, dp, dq, inverse_q;  // private: for the agent
};
Result<AgentKey> make_agent_key();

struct AgentFiles {
  std::string settings;     // .agent
  std::string credentials;  // .credentials
  std::string key;          // .credentials_rsaparams
};

// `agent` as the server answered the registration; `server_url` as the configuration names the organisation or
// collection. invalid: the answer lacks what an agent needs to sign in with its key (a server from before 2015, or one
// that refuses).
Result<AgentFiles> make_agent_files(const Agent& agent, const Pool& pool, const std::string& server_url,
                                    const AgentKey& key);

// "https://host:port" of a URL, in lower case, and what follows it.
struct UrlParts {
  std::string origin, path;
};
UrlParts split_url(const std::string& url);
// Whether this is Microsoft's own service: its sign-in lives on other hosts than its API.
bool is_hosted(const std::string& url);

}  // namespace mayfly::azure_devops
