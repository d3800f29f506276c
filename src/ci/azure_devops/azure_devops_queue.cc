// Looking at the queue: which jobs are this pool's, and what an operator should hear.
#include <algorithm>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "ci/azure_devops/azure_devops.h"
#include "ci/azure_devops/job.h"

namespace mayfly::azure_devops {
namespace {

constexpr int max_disables = 20;  // in one look at the queue: the next one does the rest
constexpr Duration skew_worth_saying = std::chrono::minutes(2);

}  // namespace

bool AzureDevOps::ours(const std::string& agent) const {
  std::lock_guard lock(mutex_);
  return minted_.contains(agent) || (!prefix_.empty() && agent.starts_with(prefix_));
}

// The server's own word counts where it names our placeholder, which has what our builders have. Where it does not, it
// may have matched before the placeholder was there.
bool AzureDevOps::serves(const JobRequest& request) const {
  const auto& account = client_.account();
  if (request.matched)
    for (const auto& m : *request.matched)
      if (m.name == account.placeholder || ours(m.name)) return true;
  auto capabilities = account.capabilities;
  capabilities.emplace("Agent.OS", "Linux");
  return unmet_demand(request.demands, capabilities, account.match).empty();
}

std::optional<CiJob> AzureDevOps::as_seen(const JobRequest& request) {
  const auto& url = client_.account().url;
  bool mine = request.agent && ours(request.agent->name);
  if (!request.pending()) return mine ? std::optional(to_ci_job(request, url)) : std::nullopt;
  if (request.assigned && request.agent && !mine) {
    // Somebody else's agent is about to begin it; as long as control has not said what its names begin with, it might
    // be one of ours from before a restart.
    std::lock_guard lock(mutex_);
    if (!prefix_.empty()) return {};
  } else if (!mine && !serves(request)) {
    return {};
  }
  auto job = to_ci_job(request, url);
  if (!request.assigned) job.runner.clear();
  if (mine) {
    std::int64_t first = 0;
    {
      std::lock_guard lock(mutex_);
      if (auto it = first_job_.find(request.agent->name); it != first_job_.end()) first = it->second;
    }
    if (first != 0 && first != request.id) {
      note_second_job(request.agent->name, request);
      job.runner.clear();  // that one has had its job: this one waits
    }
  }
  return job;
}

void AzureDevOps::note_second_job(const std::string& agent, const JobRequest& second) {
  {
    std::lock_guard lock(mutex_);
    auto [it, fresh] = second_job_.try_emplace(agent, SecondJob{second.id, std::chrono::steady_clock::now()});
    if (!fresh) return;
  }
  log_.warning(
      "azure-devops: agent {} takes one job only and was assigned another one, {} ({}): it waits until the service "
      "takes "
      "it back",
      agent, second.id, second.definition);
}

// An agent that has its job gets no other: disabled, it finishes what it has.
void AzureDevOps::protect(const std::vector<JobRequest>& running, Deadline deadline) {
  int done = 0;
  for (const auto& r : running) {
    {
      std::lock_guard lock(mutex_);
      if (disabled_.contains(r.agent->name) || ++done > max_disables) continue;
    }
    auto path = agents_path(deadline);
    if (!path) return;
    boost::json::object body{{"id", r.agent->id}, {"name", r.agent->name}, {"enabled", false}};
    auto reply = client_.call("PATCH", fmt::format("{}/{}?api-version=7.0", *path, r.agent->id),
                              boost::json::serialize(body), deadline);
    if (reply || reply.error().code == ErrorCode::not_found) {
      std::lock_guard lock(mutex_);
      disabled_.insert(r.agent->name);
    } else {
      log_.warning("azure-devops: agent {} could not be disabled after it began its job: {}", r.agent->name,
                   reply.error().text());
      return;
    }
  }
}

// An agent that registered itself offers what it found in its place; the jobs that demand the pool's capabilities would
// pass it by.
void AzureDevOps::equip(Deadline deadline) {
  std::set<std::string> bare;
  {
    std::lock_guard lock(mutex_);
    bare = bare_;
  }
  int asked = 0;
  for (const auto& name : bare) {
    if (++asked > max_disables) return;
    auto agent = agent_named(name, deadline);
    if (agent && !*agent) continue;  // not yet
    auto done = agent ? set_capabilities((*agent)->name.id, deadline) : Result<void>(Unexpected(agent.error()));
    if (!done)
      return log_.warning("azure-devops: agent {} did not get its capabilities: {}", name, done.error().text());
    std::lock_guard lock(mutex_);
    bare_.erase(name);
  }
}

std::string AzureDevOps::notice(const Pool& pool, const JobRequests& seen) const {
  const auto& account = client_.account();
  std::vector<std::string> all;
  if (auto wanted = version_asked_for(seen.all); older(account.agent_version, wanted))
    all.push_back(
        fmt::format("Jobs in pool '{}' ask for agent {} or newer and the image has {}: they would make it update "
                    "itself, which breaks one-job agents. Build the image with a newer one and say so in "
                    "agent_version.",
                    pool.name, wanted, account.agent_version));
  else if (pool.auto_update.value_or(false))
    all.push_back(
        fmt::format("Pool '{}' updates its agents by itself, which breaks one-job agents: switch it off in the "
                    "pool's settings.",
                    pool.name));
  auto behind = client_.behind();
  if (behind > skew_worth_saying || behind < -skew_worth_saying)
    all.push_back(fmt::format(
        "This machine's clock is {} {} Azure DevOps' own; beyond five minutes agents cannot sign in.",
        format_duration(behind < Duration{} ? -behind : behind), behind > Duration{} ? "behind" : "ahead of"));
  std::lock_guard lock(mutex_);
  if (!placeholder_problem_.empty())
    all.push_back("Without builders this pool's jobs may fail instead of waiting: " + placeholder_problem_);
  for (const auto& [agent, second] : second_job_)
    all.push_back(fmt::format("Job {} was assigned to agent {}, which has had its one job.", second.request, agent));
  if (seen.odd > 0) all.push_back(fmt::format("{} jobs in the answer of Azure DevOps made no sense.", seen.odd));
  std::string out;
  for (const auto& n : all) out += (out.empty() ? "" : " ") + n;
  return out;
}

Result<CiSight> AzureDevOps::observe(Deadline deadline) {
  CiSight sight;
  auto seen = requests("completedRequestCount=0", deadline);
  if (auto wait = client_.pace().wait; !seen && wait > Duration{}) {
    sight.whole = false;
    sight.throttled = true;
    sight.again = wait;
    return sight;
  }
  if (!seen) {
    std::lock_guard lock(mutex_);
    if (seen.error().code == ErrorCode::not_found) pool_.reset();  // perhaps made anew under its name
    return Unexpected(seen.error());
  }
  std::vector<JobRequest> running;
  for (const auto& r : seen->all) {
    auto job = as_seen(r);
    if (job && r.running() && r.agent) {
      running.push_back(r);
      std::lock_guard lock(mutex_);
      first_job_.try_emplace(r.agent->name, r.id);
    }
    if (job) sight.jobs.push_back(std::move(*job));
  }
  protect(running, deadline);
  equip(deadline);
  auto kept = keep_placeholder(deadline);
  MAYFLY_ASSIGN(auto p, pool(deadline));
  {
    std::lock_guard lock(mutex_);
    placeholder_problem_ = kept ? "" : kept.error().text();
  }
  sight.notice = notice(p, *seen);
  auto pace = client_.pace();
  sight.again = std::max(pace.near ? careful_pause : usual_pause, pace.wait);
  sight.throttled = pace.wait > Duration{};
  return sight;
}

}  // namespace mayfly::azure_devops
