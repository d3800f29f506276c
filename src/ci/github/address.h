#pragma once
// Where a pool's runners are registered: an organisation or a repository, at github.com, at a tenant of ghe.com or at
// an enterprise server. A value; any thread.
#include <string>
#include <string_view>

#include "base/result.h"

namespace mayfly::github {

struct Address {
  std::string web;         // "https://github.com": jobs' pages
  std::string server;      // "https://api.github.com": what requests go to
  std::string prefix;      // of every path there: "" or, on an enterprise server, "/api/v3"
  std::string owner;       // the organisation, or the repository's owner
  std::string repository;  // empty: the whole organisation

  bool whole_organization() const { return repository.empty(); }
  // "/orgs/acme/actions/runners" or "/repos/acme/site/actions/runners"; without the prefix.
  std::string runners() const;
  std::string text() const;  // "https://github.com/acme/site": as a person would write it

  bool operator==(const Address&) const = default;
};

// "https://github.com/ORG", "https://github.com/OWNER/REPOSITORY", the same below https://TENANT.ghe.com or any other
// host, which is taken for an enterprise server (API below /api/v3). http:// is for loopback only: a token travels with
// every request.
Result<Address> parse_address(std::string_view url);

// What GitHub allows in the names of owners and repositories; anything else could lead a request elsewhere.
bool is_owner_name(std::string_view text);
bool is_repository_name(std::string_view text);

}  // namespace mayfly::github
