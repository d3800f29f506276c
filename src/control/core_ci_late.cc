// CI agents that never connect: their builders run, and the CI waits for them until the pool's time limit would end it.
#include <boost/json.hpp>

#include <fmt/format.h>

#include "control/core.h"

namespace mayfly {
namespace json = boost::json;
namespace {

// Longer than the four minutes for which Azure's agent waits where the service thinks that it is connected already.
constexpr Duration connect_limit = std::chrono::minutes(5);
constexpr Duration ask_limit = std::chrono::seconds(30);
constexpr Duration ask_again = std::chrono::seconds(30);

std::string subject(JobId id) { return fmt::format("job/{}", id); }

}  // namespace

// From when its builder has its job, or from a restart of the daemon.
void Core::expect_agent(JobId id) { connect_by_[id] = now() + connect_limit; }

// Whose agents should have connected by now, and have no job as far as is known: the CI says whether they have.
void Core::attend_late_agents() {
  for (auto it = connect_by_.begin(); it != connect_by_.end();) {
    auto j = jobs_.find(it->first);
    if (j == jobs_.end() || !awaits_agent(j->second)) {
      it = connect_by_.erase(it);
      continue;
    }
    if (now() >= it->second) {
      it->second = now() + ask_limit + ask_again;
      ask_for_agent(j->second);
    }
    wake_by(it->second);
    ++it;
  }
}

bool Core::awaits_agent(const Job& j) const {
  return !j.builder.empty() && !j.external.runner.empty() && !j.external.taken && !is_final(j.state) && from_ci(j) &&
         !j.cancel_requested && !settling_.contains(j.id);
}

void Core::ask_for_agent(const Job& j) {
  effect("ci.ask-agent", [this, id = j.id, name = j.external.runner, port = connector_of(j)] {
    executor_.ci(port, CiWork::act, [this, id, name, port]() -> std::function<void()> {
      auto seen = std::make_shared<Result<std::vector<CiRegistration>>>(port->registrations(name, after(ask_limit)));
      return [this, id, name, seen] { on_agent_sought(id, name, *seen); };
    });
  });
}

void Core::on_agent_sought(JobId id, const std::string& runner, const Result<std::vector<CiRegistration>>& seen) {
  auto found = jobs_.find(id);
  auto due = connect_by_.find(id);
  if (due == connect_by_.end() || found == jobs_.end() || found->second.external.runner != runner) return;
  Job& j = found->second;
  auto b = builders_.find(j.builder);
  if (!seen || !awaits_agent(j) || b == builders_.end()) return;  // asked again
  connect_by_.erase(due);
  for (const auto& r : *seen)
    if (r.name == runner && (r.online || r.busy)) return;  // it waits for a job, as the CI does for whatever it does
  auto why = fmt::format("its agent did not connect to the CI within {}; `mayfly logs {}` has what it said",
                         format_duration(connect_limit), id);
  record("ci.agent-absent", subject(id), json::serialize(json::object{{"runner", runner}, {"builder", j.builder}}));
  if (b->second.state != BuilderState::busy) return;
  on_builder_died(b->second, why, now());
  conclude(j, JobResult{JobCause::builder_lost, 0, 0, why});
  start_failed(b->second, Error{ErrorCode::timeout, why, {}, {}});
}

// What is measured from the wall clock moves along with it.
void Core::ci_clock_jumped(Duration by) {
  for (auto& [id, at] : connect_by_) at += by;
  for (auto& [id, at] : idle_since_) at += by;
  for (auto& [id, ended] : ci_ended_) ended.heard += by;
  for (auto& [id, s] : settling_) s.give_up += by, s.ask_at += by;
  for (auto& [name, f] : forgetting_) f.at += by;
  for (auto& [pool, ci] : cis_) {
    ci.observe_at += by, ci.sweep_at += by;
    if (ci.mint_after) *ci.mint_after += by;
  }
}

}  // namespace mayfly
