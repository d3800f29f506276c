#include "ci/azure_devops/account.h"

#include <algorithm>
#include <cctype>

#include <fmt/format.h>

namespace mayfly::azure_devops {
namespace {

constexpr std::string_view capability = "capabilities.";

bool is_organization(const std::string& name) {
  return !name.empty() && name.size() <= 50 &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) || c == '-'; });
}

// Over the wire go tokens: in clear only to this very machine, where tests are.
bool is_safe_url(const std::string& url) {
  bool plain = url.starts_with("http://");
  auto host = url.substr(std::min(url.size(), plain ? std::size_t{7} : std::size_t{8}));
  bool local = host.starts_with("127.0.0.1:") || host.starts_with("localhost:");
  bool clean = std::none_of(url.begin(), url.end(), [](unsigned char c) { return c <= 0x20 || c == '?' || c == '#'; });
  return clean && !host.empty() && host[0] != '/' && host.find('@') == std::string::npos &&
         (url.starts_with("https://") || (plain && local));
}

}  // namespace

Result<Account> account_from(const std::map<std::string, std::string>& settings, const std::string& mayfly_pool) {
  auto value = [&](const std::string& key) {
    auto it = settings.find(key);
    return it == settings.end() ? std::string() : it->second;
  };
  Account a;
  auto organization = value("organization");
  a.url = value("url");
  if (organization.empty() == a.url.empty())
    return fail(ErrorCode::invalid, "exactly one of 'organization' and 'url' says which Azure DevOps", "organization");
  if (a.url.empty() && !is_organization(organization))
    return fail(ErrorCode::invalid, fmt::format("'{}' is not the name of an organization", organization),
                "organization", "It is the part after https://dev.azure.com/");
  if (a.url.empty()) a.url = "https://dev.azure.com/" + organization;
  while (a.url.ends_with('/')) a.url.pop_back();
  if (!is_safe_url(a.url))
    return fail(ErrorCode::invalid, fmt::format("'{}' is not https://HOST/COLLECTION", a.url), "url");
  a.pool = value("pool");
  if (a.pool.empty()) return fail(ErrorCode::invalid, "which agent pool to serve is not said", "pool");
  a.token_secret = value("token");
  a.tenant_id = value("tenant_id");
  a.client_id = value("client_id");
  a.client_secret_secret = value("client_secret");
  bool principal = !a.tenant_id.empty() && !a.client_id.empty() && !a.client_secret_secret.empty();
  bool some = !a.tenant_id.empty() || !a.client_id.empty() || !a.client_secret_secret.empty();
  if (a.token_secret.empty() ? !principal : some)
    return fail(ErrorCode::invalid,
                "it signs in with 'token', or with all of 'tenant_id', 'client_id', 'client_secret'",
                a.token_secret.empty() ? "client_secret" : "token");
  if (auto login = value("login_url"); !login.empty()) a.login_url = login;
  if (!is_safe_url(a.login_url))
    return fail(ErrorCode::invalid, fmt::format("'{}' is not https://HOST", a.login_url), "login_url");
  for (const auto& [key, v] : settings)
    if (key.starts_with(capability)) a.capabilities.emplace(key.substr(capability.size()), v);
  a.match = value("demands") == "exact" ? Case::exact : Case::ignore;
  a.agent_version = value("agent_version");
  a.fallback_token_secret = value("fallback_token");
  a.ca_file = value("ca_file");
  a.placeholder = "mayfly-placeholder-" + mayfly_pool;
  return a;
}

}  // namespace mayfly::azure_devops
