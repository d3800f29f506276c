#include "ci/github/settings.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/text.h"
#include "ci/github/labels.h"
#include "ci/github/wire.h"

namespace mayfly::github {
namespace {

using Keys = std::map<std::string, std::string>;

std::string text(const Keys& keys, const char* name) {
  auto found = keys.find(name);
  return found == keys.end() ? "" : std::string(trim(found->second));
}

std::vector<std::string> list(const Keys& keys, const char* name) {
  auto written = text(keys, name);
  std::replace(written.begin(), written.end(), '\n', ',');
  std::vector<std::string> out;
  for (const auto& part : split(written, ','))
    if (auto word = trim(part); !word.empty()) out.emplace_back(word);
  return out;
}

Result<Address> address(const Keys& keys) {
  auto url = text(keys, "url"), organization = text(keys, "organization"), repository = text(keys, "repository");
  int given = !url.empty() + !organization.empty() + !repository.empty();
  if (given != 1)
    return fail(ErrorCode::invalid, "exactly one of url, organization and repository says where the jobs are", "url",
                "Write organization: acme, or repository: acme/site, or url: https://HOST/acme.");
  if (!organization.empty() && !is_owner_name(organization))
    return fail(ErrorCode::invalid, fmt::format("'{}' cannot be an organization", organization), "organization",
                "Write its name alone; `url` takes a whole address.");
  if (!repository.empty() && repository.find('/') == std::string::npos)
    return fail(ErrorCode::invalid, fmt::format("'{}' is not OWNER/REPOSITORY", repository), "repository");
  auto parsed = parse_address(!url.empty() ? url : "https://github.com/" + organization + repository);
  if (parsed) return parsed;
  auto e = parsed.error();
  e.where = !url.empty() ? "url" : !organization.empty() ? "organization" : "repository";
  return Unexpected(std::move(e));
}

Result<void> read_credentials(const Keys& keys, Settings& s) {
  s.token = text(keys, "token");
  s.app_id = text(keys, "app_id");
  s.private_key = text(keys, "private_key");
  if (s.token.empty() == s.app_id.empty())
    return fail(ErrorCode::invalid, "either token, or app_id with private_key, says how to sign in", "token",
                "An App is better: its rights are fewer and its tokens last an hour.");
  if (s.app_id.empty() != s.private_key.empty())
    return fail(ErrorCode::invalid, "app_id and private_key go together", "app_id");
  auto id = text(keys, "installation_id");
  if (id.empty()) return {};
  auto [end, ec] = std::from_chars(id.data(), id.data() + id.size(), s.installation_id);
  if (ec != std::errc() || end != id.data() + id.size() || s.installation_id <= 0)
    return fail(ErrorCode::invalid, fmt::format("'{}' is not an installation's number", id), "installation_id",
                "It ends the address of the installation's settings page; without it Mayfly asks GitHub.");
  return {};
}

}  // namespace

std::string Settings::account() const {
  // An App's token is for one installation, which may be found by the address.
  auto place = app_id.empty() || installation_id != 0 ? std::string() : to_lower(address.runners());
  return fmt::format("{}|{}|{}|{}|{}|{}", address.server, token, app_id, private_key, installation_id, place);
}

Result<Settings> settings_from(const Keys& keys) {
  Settings s;
  MAYFLY_ASSIGN(s.address, address(keys));
  MAYFLY_TRY(read_credentials(keys, s));
  s.repositories = list(keys, "repositories");
  if (!s.repositories.empty() && !s.address.whole_organization())
    return fail(ErrorCode::invalid, "repositories narrows an organization, and this is one repository", "repositories");
  for (auto& name : s.repositories) {
    if (name.find('/') == std::string::npos) name = s.address.owner + "/" + name;
    auto slash = name.find('/');
    if (to_lower(name.substr(0, slash)) != to_lower(s.address.owner) || !is_repository_name(name.substr(slash + 1)))
      return fail(ErrorCode::invalid, fmt::format("'{}' cannot be a repository of {}", name, s.address.owner),
                  "repositories");
  }
  s.webhook_secret = text(keys, "webhook_secret");
  s.labels = list(keys, "labels");
  MAYFLY_TRY(check_labels(s.labels));
  s.runner_group = text(keys, "runner_group");
  if (!s.runner_group.empty() && !s.address.whole_organization())
    return fail(ErrorCode::invalid, "a repository's runners have no groups", "runner_group");
  return s;
}

}  // namespace mayfly::github
