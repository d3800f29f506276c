#pragma once
// What Azure DevOps answers, as values. Pure; no I/O. The endpoint of job requests is not in the official
// specification, so nothing is expected of it but what is needed: members may be missing, null, in any order, of a type
// that another version used, and there may be more of them. One entry that makes no sense is left out and counted; it
// does not hide the others.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace mayfly::azure_devops {

// ISO 8601 as .NET writes it: up to seven digits of a second, "Z" or an offset. Year 1 is .NET's word for "never".
std::optional<Time> parse_time(std::string_view text);

struct AgentName {
  std::int64_t id = 0;
  std::string name;
};

struct JobRequest {
  std::int64_t id = 0;
  std::string job_id, plan_id;
  Time queued_at{};       // epoch: not said
  bool assigned = false;  // to an agent that may not even have heard of it
  bool received = false;  // the agent has begun
  bool finished = false;
  Time assigned_at{}, received_at{}, finished_at{};
  std::string result;                             // in lower case; empty while there is none
  std::vector<std::string> demands;               // as sent
  std::optional<AgentName> agent;                 // reserved for it
  std::optional<std::vector<AgentName>> matched;  // absent: the server did not say
  std::string definition, owner;                  // the pipeline and the run, by name
  std::string url;                                // of the run, for people
  int priority = 0;

  bool pending() const { return result.empty() && !received && !finished; }
  bool running() const { return result.empty() && received && !finished; }
};

struct JobRequests {
  std::vector<JobRequest> all;
  std::size_t odd = 0;  // entries that made no sense
};

struct Agent {
  AgentName name;
  std::string version = {};
  bool enabled = true;
  bool online = false;
  std::map<std::string, std::string> system_capabilities = {}, user_capabilities = {};
  std::optional<JobRequest> assigned = {}, last_completed = {};
  std::string client_id = {}, authorization_url = {};  // of an agent that was just registered
  std::string server_url = {};                         // as the server wishes to be called by it; empty: as we call it
  bool require_fips = false;                           // its property RequireFipsCryptography
};

struct Pool {
  std::int64_t id = 0;
  std::string name;
  std::optional<bool> auto_update;
  bool hosted = false;  // Microsoft's own agents: nobody can register there
};

Result<JobRequests> parse_job_requests(std::string_view body);
Result<std::vector<Agent>> parse_agents(std::string_view body);
Result<Agent> parse_agent(std::string_view body);
Result<std::vector<Pool>> parse_pools(std::string_view body);

// The answer of Entra's token endpoint.
struct Token {
  std::string value;
  Duration lifetime{};
};
Result<Token> parse_token(std::string_view body);

// The sentence in an error's body, for people; empty where there is none. Never more than 300 bytes.
std::string error_message(std::string_view body);

}  // namespace mayfly::azure_devops
