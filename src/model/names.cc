// The names of the model's enumerations: one table each, used in both directions.
#include <array>

#include "model/builder.h"
#include "model/job.h"
#include "model/pool.h"
#include "model/reason.h"

namespace mayfly {
namespace {

template <class E, std::size_t N>
using Names = std::array<std::pair<E, std::string_view>, N>;

constexpr Names<JobState, 8> job_states{{{JobState::queued, "queued"},
                                         {JobState::assigned, "assigned"},
                                         {JobState::running, "running"},
                                         {JobState::succeeded, "succeeded"},
                                         {JobState::failed, "failed"},
                                         {JobState::cancelled, "cancelled"},
                                         {JobState::timed_out, "timed_out"},
                                         {JobState::lost, "lost"}}};

constexpr Names<JobCause, 15> job_causes{{{JobCause::none, "none"},
                                          {JobCause::exited, "exited"},
                                          {JobCause::signalled, "signalled"},
                                          {JobCause::oom_killed, "oom_killed"},
                                          {JobCause::disk_full, "disk_full"},
                                          {JobCause::timed_out, "timed_out"},
                                          {JobCause::cancelled, "cancelled"},
                                          {JobCause::command_not_found, "command_not_found"},
                                          {JobCause::not_executable, "not_executable"},
                                          {JobCause::image_unavailable, "image_unavailable"},
                                          {JobCause::start_failed, "start_failed"},
                                          {JobCause::secret_unavailable, "secret_unavailable"},
                                          {JobCause::input_failed, "input_failed"},
                                          {JobCause::output_failed, "output_failed"},
                                          {JobCause::builder_lost, "builder_lost"}}};

constexpr Names<BuilderState, 7> builder_states{{{BuilderState::requested, "requested"},
                                                 {BuilderState::starting, "starting"},
                                                 {BuilderState::ready, "ready"},
                                                 {BuilderState::busy, "busy"},
                                                 {BuilderState::stopping, "stopping"},
                                                 {BuilderState::gone, "gone"},
                                                 {BuilderState::lost, "lost"}}};

constexpr Names<Network, 3> networks{{{Network::none, "none"}, {Network::egress, "egress"}, {Network::host, "host"}}};

constexpr Names<ReasonCode, 20> reason_codes{{{ReasonCode::none, "none"},
                                              {ReasonCode::submitted, "submitted"},
                                              {ReasonCode::builder_starting, "builder_starting"},
                                              {ReasonCode::behind_others, "behind_others"},
                                              {ReasonCode::pool_at_max, "pool_at_max"},
                                              {ReasonCode::launch_limit, "launch_limit"},
                                              {ReasonCode::image_resolving, "image_resolving"},
                                              {ReasonCode::image_unavailable, "image_unavailable"},
                                              {ReasonCode::platform_unavailable, "platform_unavailable"},
                                              {ReasonCode::start_backoff, "start_backoff"},
                                              {ReasonCode::ci_unavailable, "ci_unavailable"},
                                              {ReasonCode::disk_full, "disk_full"},
                                              {ReasonCode::pool_removed, "pool_removed"},
                                              {ReasonCode::version_missing, "version_missing"},
                                              {ReasonCode::shutting_down, "shutting_down"},
                                              {ReasonCode::no_pool, "no_pool"},
                                              {ReasonCode::platform_at_max, "platform_at_max"},
                                              {ReasonCode::rate_limited, "rate_limited"},
                                              {ReasonCode::breaker_open, "breaker_open"},
                                              {ReasonCode::quarantined, "quarantined"}}};

template <class E, std::size_t N>
std::string_view name_of(const Names<E, N>& names, E value) {
  for (const auto& [v, n] : names)
    if (v == value) return n;
  return "?";
}

template <class E, std::size_t N>
std::optional<E> value_of(const Names<E, N>& names, std::string_view name) {
  for (const auto& [v, n] : names)
    if (n == name) return v;
  return std::nullopt;
}

}  // namespace

std::string_view to_string(JobState s) { return name_of(job_states, s); }
std::optional<JobState> job_state_from(std::string_view n) { return value_of(job_states, n); }
std::string_view to_string(JobCause c) { return name_of(job_causes, c); }
std::optional<JobCause> job_cause_from(std::string_view n) { return value_of(job_causes, n); }
std::string_view to_string(BuilderState s) { return name_of(builder_states, s); }
std::optional<BuilderState> builder_state_from(std::string_view n) { return value_of(builder_states, n); }
std::string_view to_string(Network n) { return name_of(networks, n); }
std::optional<Network> network_from(std::string_view n) { return value_of(networks, n); }
std::string_view to_string(ReasonCode c) { return name_of(reason_codes, c); }
std::optional<ReasonCode> reason_code_from(std::string_view n) { return value_of(reason_codes, n); }

}  // namespace mayfly
