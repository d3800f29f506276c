// Statuses of commits (learn.microsoft.com, "Statuses - Create" of Git). Needs a right that serving a pool does not.
#include <boost/json.hpp>

#include <fmt/format.h>

#include "ci/azure_devops/azure_devops.h"

namespace mayfly::azure_devops {
namespace json = boost::json;
namespace {

std::string_view word(CommitState state) {
  switch (state) {
    case CommitState::pending:
      return "pending";
    case CommitState::succeeded:
      return "succeeded";
    case CommitState::failed:
      return "failed";
    case CommitState::error:
      break;
  }
  return "error";
}

}  // namespace

// A status is named by genre and name together.
Result<void> AzureDevOps::set_status(const CommitStatus& status, Deadline deadline) {
  auto slash = status.repository.find('/');
  if (slash == std::string::npos || slash == 0 || slash + 1 == status.repository.size())
    return fail(ErrorCode::invalid, fmt::format("'{}' is no repository of Azure DevOps", status.repository),
                "commit_status", "Write PROJECT/REPOSITORY.");
  auto project = status.repository.substr(0, slash), repository = status.repository.substr(slash + 1);
  auto cut = status.context.find('/');
  json::object context{{"name", status.context.substr(cut == std::string::npos ? 0 : cut + 1)}};
  if (cut != std::string::npos) context["genre"] = status.context.substr(0, cut);
  json::object body{{"state", word(status.state)}, {"description", status.description}, {"context", context}};
  auto reply = client_.call(
      "POST",
      fmt::format("/{}/_apis/git/repositories/{}/commits/{}/statuses?api-version=7.0", url_encode(project),
                  url_encode(repository), url_encode(status.commit)),
      json::serialize(body), deadline,
      fmt::format("Let it read '{}' and contribute to its pull requests (Project settings, Repositories, Security); a "
                  "token also needs the scope Code (Status).",
                  status.repository));
  if (!reply) return Unexpected(reply.error());
  return {};
}

}  // namespace mayfly::azure_devops
