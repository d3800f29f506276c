// The three files against what the vendor's program reads from them: above all, that the private half in
// .credentials_rsaparams signs what the public half given to the server verifies.
#include "ci/azure_devops/agent_key.h"

#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <boost/json.hpp>

#include "base/text.h"

namespace mayfly::azure_devops {
namespace {

namespace json = boost::json;

// Makes a key of numbers alone, as .NET's ImportParameters does.
EVP_PKEY* import(const std::vector<std::pair<const char*, std::string>>& numbers, int selection) {
  auto* build = OSSL_PARAM_BLD_new();
  std::vector<BIGNUM*> kept;
  for (const auto& [name, base64] : numbers) {
    auto bytes = base64_decode(base64).value();
    kept.push_back(
        BN_bin2bn(reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()), nullptr));
    OSSL_PARAM_BLD_push_BN(build, name, kept.back());
  }
  auto* params = OSSL_PARAM_BLD_to_param(build);
  auto* context = EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr);
  EVP_PKEY* key = nullptr;
  EXPECT_EQ(EVP_PKEY_fromdata_init(context), 1);
  EXPECT_EQ(EVP_PKEY_fromdata(context, &key, selection, params), 1);
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(params);
  OSSL_PARAM_BLD_free(build);
  for (auto* n : kept) BN_free(n);
  return key;
}

TEST(AzureAgentKey, WhatTheFileSignsTheServerCanVerify) {
  auto key = make_agent_key();
  ASSERT_TRUE(key) << key.error().text();
  Agent agent{.name = {5, "mf-1"}, .client_id = "c1", .authorization_url = "https://vssps.dev.azure.com/t"};
  auto files = make_agent_files(agent, {2, "linux", {}, false}, "https://dev.azure.com/acme", *key);
  ASSERT_TRUE(files) << files.error().text();
  auto o = json::parse(files->key).as_object();
  auto number = [&](const char* name) { return std::string(o.at(name).as_string()); };
  auto* private_key = import({{OSSL_PKEY_PARAM_RSA_N, number("modulus")},
                              {OSSL_PKEY_PARAM_RSA_E, number("exponent")},
                              {OSSL_PKEY_PARAM_RSA_D, number("d")},
                              {OSSL_PKEY_PARAM_RSA_FACTOR1, number("p")},
                              {OSSL_PKEY_PARAM_RSA_FACTOR2, number("q")},
                              {OSSL_PKEY_PARAM_RSA_EXPONENT1, number("dp")},
                              {OSSL_PKEY_PARAM_RSA_EXPONENT2, number("dq")},
                              {OSSL_PKEY_PARAM_RSA_COEFFICIENT1, number("inverseQ")}},
                             EVP_PKEY_KEYPAIR);
  auto* public_key =
      import({{OSSL_PKEY_PARAM_RSA_N, key->modulus}, {OSSL_PKEY_PARAM_RSA_E, key->exponent}}, EVP_PKEY_PUBLIC_KEY);
  ASSERT_TRUE(private_key && public_key);
  const std::string said = "header.claims";
  const auto* bytes = reinterpret_cast<const unsigned char*>(said.data());
  std::string signature(256, '\0');
  std::size_t length = signature.size();
  auto* md = EVP_MD_CTX_new();
  ASSERT_EQ(EVP_DigestSignInit(md, nullptr, EVP_sha256(), nullptr, private_key), 1);
  ASSERT_EQ(EVP_DigestSign(md, reinterpret_cast<unsigned char*>(signature.data()), &length, bytes, said.size()), 1);
  EVP_MD_CTX_reset(md);
  ASSERT_EQ(EVP_DigestVerifyInit(md, nullptr, EVP_sha256(), nullptr, public_key), 1);
  EXPECT_EQ(EVP_DigestVerify(md, reinterpret_cast<const unsigned char*>(signature.data()), length, bytes, said.size()),
            1);
  EVP_MD_CTX_free(md);
  EVP_PKEY_free(private_key);
  EVP_PKEY_free(public_key);
}

// One key in 128 has a number with a leading zero byte; .NET refuses one that is shorter for it. The exact lengths
// hold for every key.
TEST(AzureAgentKey, EveryNumberHasItsFullLength) {
  for (int i = 0; i < 5; ++i) {
    auto key = make_agent_key();
    ASSERT_TRUE(key);
    EXPECT_EQ(base64_decode(key->modulus)->size(), 256u);
    EXPECT_EQ(base64_decode(key->d)->size(), 256u);
    for (const auto& n : {key->p, key->q, key->dp, key->dq, key->inverse_q}) EXPECT_EQ(base64_decode(n)->size(), 128u);
    EXPECT_EQ(key->exponent, "AQAB");
  }
}

TEST(AzureAgentFiles, NameTheServerAsBuildersReachIt) {
  AgentKey key{"m", "e", "d", "p", "q", "dp", "dq", "i"};
  Agent agent{.name = {5, "mf-1"}, .client_id = "c1", .authorization_url = "http://inner:8080/tfs/_apis/oauth2/token"};
  agent.server_url = "http://inner:8080/tfs/Collection/";
  auto files = make_agent_files(agent, {2, "linux", {}, false}, "https://tfs.acme.example/tfs/Collection", key);
  ASSERT_TRUE(files);
  auto settings = json::parse(files->settings).as_object();
  EXPECT_EQ(settings.at("serverUrl").as_string(), "https://tfs.acme.example/tfs/Collection/");
  EXPECT_EQ(settings.at("agentId").as_int64(), 5);
  EXPECT_EQ(settings.at("poolId").as_int64(), 2);
  auto credentials = json::parse(files->credentials).as_object();
  EXPECT_EQ(credentials.at("scheme").as_string(), "OAuth");
  auto data = credentials.at("data").as_object();
  EXPECT_EQ(data.at("authorizationUrl").as_string(), "http://inner:8080/tfs/_apis/oauth2/token");  // the audience
  EXPECT_EQ(data.at("oauthEndpointUrl").as_string(), "https://tfs.acme.example/tfs/_apis/oauth2/token");
  // The service's own sign-in is on another host than its API, and stays there.
  auto hosted =
      make_agent_files({.name = {5, "x"}, .client_id = "c", .authorization_url = "https://vssps.dev.azure.com/t"},
                       {2, "linux", {}, false}, "https://dev.azure.com/acme", key);
  ASSERT_TRUE(hosted);
  EXPECT_NE(hosted->credentials.find("\"oauthEndpointUrl\":\"https://vssps.dev.azure.com/t\""), std::string::npos);
}

TEST(AzureAgentFiles, AnAgentWithoutIdentityIsRefused) {
  AgentKey key{"m", "e", "d", "p", "q", "dp", "dq", "i"};
  Agent agent{
      .name = {5, "mf-1"}, .client_id = "00000000-0000-0000-0000-000000000000", .authorization_url = "https://x"};
  EXPECT_FALSE(make_agent_files(agent, {}, "https://dev.azure.com/acme", key));
  EXPECT_FALSE(make_agent_files({.name = {5, "mf-1"}}, {}, "https://dev.azure.com/acme", key));
}

}  // namespace
}  // namespace mayfly::azure_devops
