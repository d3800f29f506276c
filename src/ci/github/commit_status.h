#pragma once
// Statuses of commits (docs.github.com, "REST API endpoints for commit statuses"). Needs the right to write them, which
// taking jobs does not.
#include "ci/github/api.h"
#include "ports/ci.h"

namespace mayfly::github {

Result<void> set_commit_status(Api& api, const CommitStatus& status, Deadline deadline);

}  // namespace mayfly::github
