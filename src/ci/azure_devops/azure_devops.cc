#include "ci/azure_devops/azure_devops.h"

#include <algorithm>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "base/text.h"
#include "ci/azure_devops/agent_key.h"
#include "ci/azure_devops/job.h"

namespace mayfly::azure_devops {
namespace json = boost::json;
namespace {

constexpr std::string_view version = "api-version=7.0";
constexpr std::string_view pools = "/_apis/distributedtask/pools";
constexpr Duration settings_life = std::chrono::minutes(10);
constexpr int max_pages = 100;
// Newer than any: a job that demands a certain version waits for an agent instead of failing in an empty pool.
constexpr std::string_view placeholder_version = "99.999.9";

json::object to_json(const Capabilities& capabilities) {
  json::object o;
  for (const auto& [k, v] : capabilities) o[k] = v;
  return o;
}

}  // namespace

AzureDevOps::AzureDevOps(Account account, SecretStore& secrets, const Log& log)
    : client_(std::move(account), secrets), log_(log) {}

std::string AzureDevOps::place() const { return to_lower(client_.account().url + " " + client_.account().pool); }

std::string AzureDevOps::connection() const {
  const auto& a = client_.account();
  return fmt::format("{}|{}|{}|{}|{}", to_lower(a.url), a.token_secret, a.tenant_id, a.client_id,
                     a.client_secret_secret);
}

CiRunner AzureDevOps::runner() const { return {"#!/bin/sh\nexec /opt/azure-agent/take-one-job\n", {}}; }

Result<Pool> AzureDevOps::pool(Deadline deadline) {
  {
    std::lock_guard lock(mutex_);
    if (pool_ && std::chrono::steady_clock::now() < pool_until_) return *pool_;
  }
  const auto& name = client_.account().pool;
  MAYFLY_ASSIGN(auto reply,
                client_.call("GET", fmt::format("{}?poolName={}&{}", pools, url_encode(name), version), "", deadline));
  MAYFLY_ASSIGN(auto all, parse_pools(reply.body));
  // A server that does not know the filter gives all of them.
  std::erase_if(all, [&](const Pool& p) { return !p.name.empty() && !same_name(p.name, name); });
  if (all.empty())
    return fail(ErrorCode::not_found, fmt::format("there is no agent pool '{}'", name), client_.account().url,
                "Create it (Organization settings, Agent pools, Add pool, Self-hosted), or give the sign-in the role "
                "Reader of it at least: pools that it may not see are not there for it.");
  if (all.front().hosted)
    return fail(ErrorCode::invalid, fmt::format("the agent pool '{}' is Microsoft's own", name), client_.account().url,
                "Name a self-hosted pool.");
  std::lock_guard lock(mutex_);
  pool_ = all.front();
  if (pool_->name.empty()) pool_->name = name;
  pool_until_ = after(settings_life);
  return *pool_;
}

Result<std::string> AzureDevOps::agents_path(Deadline deadline) {
  MAYFLY_ASSIGN(auto p, pool(deadline));
  return fmt::format("{}/{}/agents", pools, p.id);
}

Result<JobRequests> AzureDevOps::requests(const std::string& query, Deadline deadline) {
  MAYFLY_ASSIGN(auto p, pool(deadline));
  JobRequests out;
  std::string next;
  for (int page = 0; page < max_pages; ++page) {
    auto path = fmt::format("{}/{}/jobrequests?{}", pools, p.id, query);
    if (!next.empty()) path += "&continuationToken=" + url_encode(next);
    MAYFLY_ASSIGN(auto reply, client_.call("GET", path, "", deadline));
    auto some = parse_job_requests(reply.body);
    if (!some) return fail(ErrorCode::unavailable, "the list of jobs: " + some.error().what, client_.account().url);
    std::move(some->all.begin(), some->all.end(), std::back_inserter(out.all));
    out.odd += some->odd;
    if (reply.continuation.empty() || reply.continuation == next) return out;
    next = reply.continuation;
  }
  return fail(ErrorCode::exhausted, fmt::format("the list of jobs has more than {} pages", max_pages),
              client_.account().url);
}

Result<std::vector<Agent>> AzureDevOps::list_agents(const std::string& query, Deadline deadline) {
  MAYFLY_ASSIGN(auto path, agents_path(deadline));
  MAYFLY_ASSIGN(auto reply, client_.call("GET", fmt::format("{}?{}&{}", path, query, version), "", deadline));
  auto all = parse_agents(reply.body);
  if (!all) return fail(ErrorCode::unavailable, "the list of agents: " + all.error().what, client_.account().url);
  return all;
}

Result<std::optional<Agent>> AzureDevOps::agent_named(const std::string& name, Deadline deadline) {
  MAYFLY_ASSIGN(auto all, list_agents("includeCapabilities=true&includeAssignedRequest=true&"
                                      "includeLastCompletedRequest=true&agentName=" +
                                          url_encode(name),
                                      deadline));
  for (auto& a : all)
    if (same_name(a.name.name, name)) return std::optional(std::move(a));
  return std::optional<Agent>();
}

Result<std::optional<Agent>> AzureDevOps::find_agent(const CiRegistration& registration, Deadline deadline) {
  if (registration.id.empty()) return agent_named(registration.name, deadline);
  MAYFLY_ASSIGN(auto path, agents_path(deadline));
  auto reply = client_.call("GET",
                            fmt::format("{}/{}?includeAssignedRequest=true&includeLastCompletedRequest=true&{}", path,
                                        url_encode(registration.id), version),
                            "", deadline);
  if (!reply && reply.error().code == ErrorCode::not_found) return std::optional<Agent>();
  if (!reply) return Unexpected(reply.error());
  auto agent = parse_agent(reply->body);
  if (!agent) return fail(ErrorCode::unavailable, agent.error().what, client_.account().url);
  return std::optional(std::move(*agent));
}

Result<Agent> AzureDevOps::register_agent(const std::string& name, const std::string& agent_version,
                                          const AgentKey* key, Deadline deadline) {
  const auto& capabilities = client_.account().capabilities;
  auto system = to_json(capabilities);
  system["Agent.Name"] = name;
  system["Agent.OS"] = "Linux";
  system["Agent.Version"] = agent_version;
  json::object body{{"name", name},
                    {"version", agent_version},
                    {"osDescription", "Linux"},
                    {"maxParallelism", 1},
                    {"enabled", true},
                    {"provisioningState", "Provisioned"},
                    {"systemCapabilities", system},
                    {"userCapabilities", to_json(capabilities)}};
  if (key) {
    json::object public_key{{"exponent", key->exponent}, {"modulus", key->modulus}};
    body["authorization"] = json::object{{"publicKey", public_key}};
  }
  MAYFLY_ASSIGN(auto path, agents_path(deadline));
  MAYFLY_ASSIGN(auto reply, client_.call("POST", fmt::format("{}?{}", path, version), json::serialize(body), deadline));
  auto agent = parse_agent(reply.body);
  if (!agent) return fail(ErrorCode::unavailable, "the registration: " + agent.error().what, client_.account().url);
  if (agent->name.name.empty()) agent->name.name = name;
  // The agent program reports what it finds in its place as system capabilities when it starts, instead of ours.
  if (!capabilities.empty() && agent->user_capabilities != capabilities)
    MAYFLY_TRY(set_capabilities(agent->name.id, deadline));
  return agent;
}

// Clients disagree on whether this one was ever more than a preview, and the service refuses the wrong word for it.
Result<void> AzureDevOps::set_capabilities(std::int64_t agent, Deadline deadline) {
  MAYFLY_ASSIGN(auto path, agents_path(deadline));
  auto body = json::serialize(to_json(client_.account().capabilities));
  Result<Reply> reply;
  for (std::string_view suffix : {"-preview.1", ""}) {
    reply =
        client_.call("PUT", fmt::format("{}/{}/usercapabilities?{}{}", path, agent, version, suffix), body, deadline);
    if (reply || reply.error().code != ErrorCode::invalid) break;
  }
  if (!reply) return Unexpected(reply.error());
  return {};
}

// The name is this builder's alone: an agent that has it already is what an earlier try left, whose answer was lost.
Result<Agent> AzureDevOps::register_anew(const std::string& name, const AgentKey& key, Deadline deadline) {
  const auto& configured = client_.account().agent_version;
  auto agent = register_agent(name, configured, &key, deadline);
  if (agent || agent.error().code != ErrorCode::conflict) return agent;
  MAYFLY_ASSIGN(auto old, agent_named(name, deadline));
  if (old) MAYFLY_TRY(remove_agent(old->name.id, deadline));
  return register_agent(name, configured, &key, deadline);
}

Result<void> AzureDevOps::remove_agent(std::int64_t id, Deadline deadline) {
  MAYFLY_ASSIGN(auto path, agents_path(deadline));
  auto reply = client_.call("DELETE", fmt::format("{}/{}?{}", path, id, version), "", deadline);
  if (reply || reply.error().code == ErrorCode::not_found) return {};
  // A server says so if the agent runs a job.
  if (reply.error().code == ErrorCode::invalid)
    return fail(ErrorCode::conflict, reply.error().what, reply.error().where);
  return Unexpected(reply.error());
}

Result<CiCredential> AzureDevOps::mint(const std::string& name, const CiJob&, Deadline deadline) {
  {
    std::lock_guard lock(mutex_);
    minted_.insert(name);
  }
  MAYFLY_ASSIGN(auto p, pool(deadline));
  MAYFLY_ASSIGN(auto key, make_agent_key());
  auto agent = register_anew(name, key, deadline);
  if (!agent) {
    bool refused = agent.error().code == ErrorCode::invalid || agent.error().code == ErrorCode::denied ||
                   agent.error().code == ErrorCode::not_found;
    return refused ? fall_back(name, agent.error()) : Unexpected(agent.error());
  }
  auto files = make_agent_files(*agent, p, client_.account().url, key);
  if (!files) {
    MAYFLY_TRY(remove_agent(agent->name.id, deadline));
    return fall_back(name, files.error());
  }
  CiCredential out;
  out.registration = {name, std::to_string(agent->name.id), false};
  out.secrets = {{"MAYFLY_AZURE_AGENT", files->settings},
                 {"MAYFLY_AZURE_CREDENTIALS", files->credentials},
                 {"MAYFLY_AZURE_KEY", files->key}};
  out.note = fmt::format("agent {} registered with a key of its own", agent->name.id);
  return out;
}

Result<CiCredential> AzureDevOps::fall_back(const std::string& name, const Error& why) {
  const auto& account = client_.account();
  if (account.fallback_token_secret.empty()) return Unexpected(why);
  MAYFLY_ASSIGN(auto token, client_.fallback_token());
  CiCredential out;
  out.registration = {name, "", false};
  out.secrets = {{"MAYFLY_AZURE_TOKEN", token},
                 {"MAYFLY_AZURE_URL", account.url},
                 {"MAYFLY_AZURE_POOL", account.pool},
                 {"MAYFLY_AZURE_NAME", name}};
  out.note = fmt::format("fallback: config.sh in the builder, with the token in secret '{}', since: {}",
                         account.fallback_token_secret, why.what);
  log_.warning("azure-devops: {} gets the token in secret '{}' to register itself: {}", name,
               account.fallback_token_secret, why.text());
  std::lock_guard lock(mutex_);
  if (!account.capabilities.empty()) bare_.insert(name);
  return out;
}

Result<std::optional<CiJob>> AzureDevOps::taken(const CiRegistration& registration, Deadline deadline) {
  MAYFLY_ASSIGN(auto agent, find_agent(registration, deadline));
  if (!agent) return std::optional<CiJob>();
  std::vector<JobRequest> had;
  if (agent->last_completed) had.push_back(*agent->last_completed);
  if (agent->assigned) had.push_back(*agent->assigned);
  std::int64_t first = 0;
  {
    std::lock_guard lock(mutex_);
    if (auto it = first_job_.find(registration.name); it != first_job_.end()) first = it->second;
  }
  auto is_first = [&](const JobRequest& r) { return r.id == first; };
  if (first != 0 && std::none_of(had.begin(), had.end(), is_first)) {
    MAYFLY_ASSIGN(auto more, requests(fmt::format("agentIds={}&completedRequestCount=10", agent->name.id), deadline));
    std::erase_if(more.all, [&](const JobRequest& r) { return r.agent && r.agent->id != agent->name.id; });
    had = std::move(more.all);
  }
  const JobRequest* took = nullptr;
  for (const auto& r : had) {
    if (!begun(r)) continue;
    bool earlier = !took || (!is_first(*took) && (is_first(r) || r.received_at < took->received_at));
    if (earlier) took = &r;
  }
  if (!took) return std::optional<CiJob>();
  for (const auto& r : had)
    if (r.id != took->id && r.result.empty()) note_second_job(registration.name, r);
  auto job = to_ci_job(*took, client_.account().url);
  job.runner = registration.name;
  std::lock_guard lock(mutex_);
  first_job_[registration.name] = took->id;
  return std::optional(std::move(job));
}

Result<void> AzureDevOps::forget(const CiRegistration& registration, Deadline deadline) {
  MAYFLY_ASSIGN(auto agent, find_agent(registration, deadline));
  if (agent && agent->assigned && agent->assigned->running())
    return fail(ErrorCode::conflict, fmt::format("agent {} runs job {}", registration.name, agent->assigned->id),
                client_.account().url);
  if (agent && agent->assigned && agent->assigned->pending()) {
    note_second_job(registration.name, *agent->assigned);
    std::lock_guard lock(mutex_);
    if (std::chrono::steady_clock::now() < second_job_[registration.name].since + second_job_grace)
      return fail(ErrorCode::conflict,
                  fmt::format("agent {} was assigned job {}, which it will never begin; the service takes it back if "
                              "the agent stays away",
                              registration.name, agent->assigned->id),
                  client_.account().url);
  }
  if (agent) MAYFLY_TRY(remove_agent(agent->name.id, deadline));
  std::lock_guard lock(mutex_);
  disabled_.erase(registration.name);
  bare_.erase(registration.name);
  minted_.erase(registration.name);
  first_job_.erase(registration.name);
  second_job_.erase(registration.name);
  return {};
}

Result<std::vector<CiRegistration>> AzureDevOps::registrations(const std::string& prefix, Deadline deadline) {
  {
    std::lock_guard lock(mutex_);
    prefix_ = prefix;
  }
  const auto& account = client_.account();
  MAYFLY_ASSIGN(auto all, list_agents("includeCapabilities=true&includeAssignedRequest=true", deadline));
  std::vector<CiRegistration> out;
  for (const auto& a : all) {
    if (!a.name.name.starts_with(prefix) || a.name.name == account.placeholder) continue;
    out.push_back({a.name.name, std::to_string(a.name.id), a.assigned && a.assigned->running(), a.online});
    if (account.fallback_token_secret.empty() || a.user_capabilities == account.capabilities) continue;
    std::lock_guard lock(mutex_);  // the daemon that gave it a token may have been another
    bare_.insert(a.name.name);
  }
  return out;
}

// Without an agent that could ever take it, a job in an empty pool fails at once instead of waiting for a builder. What
// is wrong with it is a notice: the jobs that do wait can be served all the same.
Result<void> AzureDevOps::keep_placeholder(Deadline deadline) {
  const auto& account = client_.account();
  if (std::chrono::steady_clock::now() < placeholder_until_) return {};
  MAYFLY_ASSIGN(auto there, agent_named(account.placeholder, deadline));
  if (!there) {
    auto made = register_agent(account.placeholder, std::string(placeholder_version), nullptr, deadline);
    if (!made && made.error().code != ErrorCode::conflict) return Unexpected(made.error());
  } else if (there->user_capabilities != account.capabilities) {
    MAYFLY_TRY(set_capabilities(there->name.id, deadline));
  }
  placeholder_until_ = after(settings_life);
  return {};
}

}  // namespace mayfly::azure_devops
