#include "ci/azure_devops/agent_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <memory>

#include <boost/json.hpp>

#include "base/text.h"

namespace mayfly::azure_devops {
namespace json = boost::json;
namespace {

constexpr int key_bits = 2048;

// Padded on the left: .NET refuses a parameter that lost a leading zero byte, which one key in a hundred has.
Result<std::string> parameter(const EVP_PKEY* key, const char* name, std::size_t bytes) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &raw) != 1)
    return fail(ErrorCode::internal, std::string("OpenSSL gives no ") + name + " of a new RSA key");
  std::unique_ptr<BIGNUM, decltype(&BN_clear_free)> number(raw, BN_clear_free);
  std::string out(bytes, '\0');
  if (BN_bn2binpad(number.get(), reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(bytes)) < 0)
    return fail(ErrorCode::internal, std::string(name) + " of a new RSA key is too long");
  auto encoded = base64_encode(out);
  OPENSSL_cleanse(out.data(), out.size());
  return encoded;
}

}  // namespace

Result<AgentKey> make_agent_key() {
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> pair(EVP_RSA_gen(key_bits), EVP_PKEY_free);
  if (!pair) return fail(ErrorCode::internal, "OpenSSL cannot make an RSA key");
  constexpr std::size_t full = key_bits / 8, half = full / 2;
  AgentKey key;
  MAYFLY_ASSIGN(key.modulus, parameter(pair.get(), OSSL_PKEY_PARAM_RSA_N, full));
  MAYFLY_ASSIGN(key.exponent, parameter(pair.get(), OSSL_PKEY_PARAM_RSA_E, 3));
  MAYFLY_ASSIGN(key.d, parameter(pair.get(), OSSL_PKEY_PARAM_RSA_D, full));
  MAYFLY_ASSIGN(key.p, parameter(pair.get(), OSSL_PKEY_PARAM_RSA_FACTOR1, half));
  MAYFLY_ASSIGN(key.q, parameter(pair.get(), OSSL_PKEY_PARAM_RSA_FACTOR2, half));
  MAYFLY_ASSIGN(key.dp, parameter(pair.get(), OSSL_PKEY_PARAM_RSA_EXPONENT1, half));
  MAYFLY_ASSIGN(key.dq, parameter(pair.get(), OSSL_PKEY_PARAM_RSA_EXPONENT2, half));
  MAYFLY_ASSIGN(key.inverse_q, parameter(pair.get(), OSSL_PKEY_PARAM_RSA_COEFFICIENT1, half));
  return key;
}

UrlParts split_url(const std::string& url) {
  auto scheme = url.find("://");
  auto path = url.find('/', scheme == std::string::npos ? 0 : scheme + 3);
  auto origin = to_lower(url.substr(0, path));
  if (origin.starts_with("https://") && origin.ends_with(":443")) origin.resize(origin.size() - 4);
  if (origin.starts_with("http://") && origin.ends_with(":80")) origin.resize(origin.size() - 3);
  return {origin, path == std::string::npos ? std::string() : url.substr(path)};
}

bool is_hosted(const std::string& url) {
  auto origin = split_url(url).origin;
  return origin == "https://dev.azure.com" || origin.ends_with(".visualstudio.com");
}

Result<AgentFiles> make_agent_files(const Agent& agent, const Pool& pool, const std::string& server_url,
                                    const AgentKey& key) {
  constexpr std::string_view nobody = "00000000-0000-0000-0000-000000000000";
  if (agent.client_id.empty() || agent.client_id == nobody || agent.authorization_url.empty())
    return fail(ErrorCode::invalid, "the server registered the agent but gave it no identity to sign in with its key",
                server_url);
  auto ours = split_url(server_url);
  auto url = agent.server_url.empty() ? server_url : ours.origin + split_url(agent.server_url).path;
  // A server of one's own may name itself as its builders cannot reach it: they sign in where we found it.
  auto oauth = is_hosted(server_url) ? agent.authorization_url : ours.origin + split_url(agent.authorization_url).path;
  json::object settings{{"agentId", agent.name.id}, {"agentName", agent.name.name},
                        {"poolId", pool.id},        {"poolName", pool.name},
                        {"serverUrl", url},         {"workFolder", "_work"}};
  json::object data{
      {"clientId", agent.client_id}, {"authorizationUrl", agent.authorization_url}, {"oauthEndpointUrl", oauth}};
  if (agent.require_fips) data["requireFipsCryptography"] = "True";
  json::object parameters{{"d", key.d},
                          {"dp", key.dp},
                          {"dq", key.dq},
                          {"exponent", key.exponent},
                          {"inverseQ", key.inverse_q},
                          {"modulus", key.modulus},
                          {"p", key.p},
                          {"q", key.q}};
  return AgentFiles{json::serialize(settings), json::serialize(json::object{{"scheme", "OAuth"}, {"data", data}}),
                    json::serialize(parameters)};
}

}  // namespace mayfly::azure_devops
