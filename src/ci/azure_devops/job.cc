#include "ci/azure_devops/job.h"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly::azure_devops {

CiOutcome outcome_of(const JobRequest& r) {
  if (r.result == "succeeded" || r.result == "succeededwithissues") return CiOutcome::succeeded;
  if (r.result == "failed") return CiOutcome::failed;
  if (r.result == "canceled" || r.result == "cancelled") return CiOutcome::cancelled;
  if (r.result == "skipped") return CiOutcome::skipped;
  if (r.result == "abandoned") return CiOutcome::abandoned;
  return CiOutcome::unknown;
}

bool begun(const JobRequest& r) {
  auto outcome = outcome_of(r);
  return r.received || outcome == CiOutcome::succeeded || outcome == CiOutcome::failed;
}

CiJob to_ci_job(const JobRequest& r, const std::string& account_url) {
  CiJob job;
  job.id = std::to_string(r.id);
  // Where the request does not say where its run is shown, the pool's jobs are.
  job.url = r.url.empty() ? account_url + "/_settings/agentpools" : r.url;
  job.name = r.owner.empty() ? r.definition : r.definition.empty() ? r.owner : r.definition + " " + r.owner;
  job.labels = r.demands;
  job.priority = r.priority;
  job.phase = r.pending() ? CiPhase::pending : r.running() ? CiPhase::running : CiPhase::ended;
  if (r.agent) job.runner = r.agent->name;
  job.outcome = outcome_of(r);
  job.result = r.result;
  job.queued_at = r.queued_at;
  job.started_at = r.received_at;
  job.ended_at = r.finished_at;
  return job;
}

bool older(std::string_view have, std::string_view wanted) {
  auto h = split(have, '.'), w = split(wanted, '.');
  for (std::size_t i = 0; i < std::max(h.size(), w.size()); ++i) {
    long a = i < h.size() ? std::strtol(h[i].c_str(), nullptr, 10) : 0;
    long b = i < w.size() ? std::strtol(w[i].c_str(), nullptr, 10) : 0;
    if (a != b) return a < b;
  }
  return false;
}

std::string version_asked_for(const std::vector<JobRequest>& requests) {
  constexpr std::string_view begin = "Agent.Version -gtVersion ";
  std::string newest;
  for (const auto& r : requests)
    for (const auto& demand : r.demands)
      if (demand.starts_with(begin) && r.result.empty())
        if (auto asked = trim(std::string_view(demand).substr(begin.size())); newest.empty() || older(newest, asked))
          newest = asked;
  return newest;
}

}  // namespace mayfly::azure_devops
