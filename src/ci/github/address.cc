#include "ci/github/address.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly::github {
namespace {

bool plain(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

Unexpected wrong(std::string_view url, std::string why) {
  return fail(ErrorCode::invalid, std::move(why), std::string(url),
              "Write https://HOST/ORGANIZATION or https://HOST/OWNER/REPOSITORY.");
}

bool is_host(std::string_view host) {
  auto colon = host.rfind(':');
  auto name = host.substr(0, colon), port = colon == std::string_view::npos ? "" : host.substr(colon + 1);
  bool digits = std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  return !name.empty() && name.size() <= 253 && digits && port.size() <= 5 &&
         (colon == std::string_view::npos || !port.empty()) &&
         std::all_of(name.begin(), name.end(), [](char c) { return plain(c) || c == '.' || c == '-'; });
}

bool is_loopback(std::string_view host) {
  auto name = host.substr(0, host.rfind(':'));
  return name == "localhost" || name == "127.0.0.1";
}

}  // namespace

bool is_owner_name(std::string_view text) {
  return !text.empty() && text.size() <= 100 && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), [](char c) { return plain(c) || c == '-' || c == '_'; });
}

bool is_repository_name(std::string_view text) {
  return !text.empty() && text.size() <= 100 && text != "." && text != ".." &&
         std::all_of(text.begin(), text.end(), [](char c) { return plain(c) || c == '-' || c == '_' || c == '.'; });
}

std::string Address::runners() const {
  return whole_organization() ? fmt::format("/orgs/{}/actions/runners", owner)
                              : fmt::format("/repos/{}/{}/actions/runners", owner, repository);
}

std::string Address::text() const { return web + "/" + owner + (repository.empty() ? "" : "/" + repository); }

Result<Address> parse_address(std::string_view url) {
  bool https = url.starts_with("https://"), http = url.starts_with("http://");
  if (!https && !http) return wrong(url, "this is not an https:// address");
  auto rest = url.substr(https ? 8 : 7);
  while (rest.ends_with('/')) rest.remove_suffix(1);
  auto parts = split(rest, '/');
  auto host = to_lower(parts[0]);
  if (!is_host(host)) return wrong(url, "this names no host");
  if (http && !is_loopback(host)) return wrong(url, "over http:// the token would travel in clear");
  if (parts.size() == 1) return wrong(url, "this names neither an organization nor a repository");
  if (to_lower(parts[1]) == "enterprises")
    return wrong(url, "runners of a whole enterprise have no queue that can be read; name one of its organizations");
  if (parts.size() > 3) return wrong(url, "this has more parts than an owner and a repository");
  Address a;
  a.web = (https ? "https://" : "http://") + host;
  a.owner = parts[1];
  if (parts.size() == 3) a.repository = parts[2].ends_with(".git") ? parts[2].substr(0, parts[2].size() - 4) : parts[2];
  if (!is_owner_name(a.owner)) return wrong(url, fmt::format("'{}' cannot be an organization", a.owner));
  if (parts.size() == 3 && !is_repository_name(a.repository))
    return wrong(url, fmt::format("'{}' cannot be a repository", parts[2]));
  if (host == "github.com" || host == "www.github.com") {
    a.web = "https://github.com";
    a.server = "https://api.github.com";
  } else if (host.ends_with(".ghe.com")) {
    a.server = "https://api." + host;
  } else {
    a.server = a.web;
    a.prefix = "/api/v3";
  }
  return a;
}

}  // namespace mayfly::github
