#include "ci/github/commit_status.h"

#include <boost/json.hpp>

#include <fmt/format.h>

namespace mayfly::github {
namespace {

std::string_view word(CommitState state) {
  switch (state) {
    case CommitState::pending:
      return "pending";
    case CommitState::succeeded:
      return "success";
    case CommitState::failed:
      return "failure";
    case CommitState::error:
      break;
  }
  return "error";
}

}  // namespace

Result<void> set_commit_status(Api& api, const CommitStatus& status, Deadline deadline) {
  auto slash = status.repository.find('/');
  bool plain = slash != std::string::npos && is_owner_name(status.repository.substr(0, slash)) &&
               is_repository_name(status.repository.substr(slash + 1)) &&
               status.commit.find_first_not_of("0123456789abcdef") == std::string::npos && !status.commit.empty();
  if (!plain)
    return fail(ErrorCode::invalid, fmt::format("'{}' is no repository of GitHub's", status.repository),
                "commit_status", "Write OWNER/REPOSITORY.");
  json::object body{{"state", word(status.state)}, {"description", status.description}, {"context", status.context}};
  auto reply = api.call({.method = "POST",
                         .path = fmt::format("/repos/{}/statuses/{}", status.repository, status.commit),
                         .body = json::serialize(body)},
                        deadline);
  if (!reply) return Unexpected(reply.error());
  return {};
}

}  // namespace mayfly::github
