#pragma once
// A job request in the words of ports/ci.h. Pure.
#include "ci/azure_devops/replies.h"
#include "ports/ci.h"

namespace mayfly::azure_devops {

CiOutcome outcome_of(const JobRequest& request);
CiJob to_ci_job(const JobRequest& request, const std::string& account_url);

// Whether the agent began it, by all that the request says: a server that leaves out receiveTime shows it by how the
// job ended.
bool begun(const JobRequest& request);

// The newest agent that these jobs ask for ("Agent.Version -gtVersion 3.218.0"); empty: none asks.
std::string version_asked_for(const std::vector<JobRequest>& requests);
// Whether dotted number `have` is older than `wanted`.
bool older(std::string_view have, std::string_view wanted);

}  // namespace mayfly::azure_devops
