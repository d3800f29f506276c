// After a start: what the store says and what the platforms still run are brought together. Builders that run are
// adopted, builders that nobody owns are removed, and each job that was on its way ends in a named state or goes on.
#include <algorithm>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "control/core.h"

namespace mayfly {
namespace json = boost::json;
namespace {
constexpr Duration list_retry = std::chrono::seconds(2);
// A launch of a daemon that was killed may take effect after its successor has looked: look again and again.
constexpr Duration list_again = std::chrono::minutes(1);
constexpr Duration adopt_patience = std::chrono::seconds(10);
}  // namespace

Result<void> Core::recover() {
  MAYFLY_ASSIGN(auto snapshot, parts_.store.load());
  next_job_ = snapshot.next_job;
  next_builder_ = snapshot.next_builder;
  for (auto& j : snapshot.jobs) {
    j.waiting = {ReasonCode::submitted, "the daemon has just started", now(), {}};
    auto& job = jobs_.emplace(j.id, std::move(j)).first->second;
    roster_.add(job);
    // Its agent counts the job's time limit by a clock that nobody sets. That it must be ended from outside is judged
    // from here on: by the wall clock a clock put on meanwhile would be the end of every job.
    if (job.state != JobState::queued) roster_.moved(job, now());
  }
  std::sort(snapshot.builders.begin(), snapshot.builders.end(),
            [](const Builder& a, const Builder& b) { return builder_number(a.id) < builder_number(b.id); });
  for (auto& b : snapshot.builders) roster_.add(builders_.emplace(b.id, std::move(b)).first->second);
  for (auto& p : snapshot.pools) pool_versions_.emplace(p.pool, std::move(p));
  for (auto& v : snapshot.versions) versions_[v.image].emplace(v.number, std::move(v));
  for (auto& p : snapshot.publications)
    if (versions_[p.image].contains(p.number))
      publications_.emplace(PublicationKey{p.image, p.number, p.repository}, p);
  for (const auto& [id, j] : jobs_)
    if (j.state == JobState::queued) strays_.insert(id);
  record("daemon.started", "daemon",
         json::serialize(json::object{{"jobs", jobs_.size()}, {"builders", builders_.size()}}));

  std::vector<JobId> stranded;
  for (const auto& [id, j] : jobs_)
    if (j.state != JobState::queued && !builders_.contains(j.builder)) stranded.push_back(id);
  for (JobId id : stranded)
    if (jobs_.at(id).result.cause == JobCause::none)
      conclude(jobs_.at(id), JobResult{JobCause::builder_lost, 0, 0, "its builder is unknown after a restart"});
  resume_settling();

  std::vector<BuilderId> homeless;
  for (const auto& [id, b] : builders_)
    if (!platforms_.contains(b.platform)) homeless.push_back(id);
  for (const auto& id : homeless) {
    auto& b = builders_.at(id);
    lose_job_of(b, fmt::format("platform '{}' is not set up any more", b.platform));
    b.state = BuilderState::lost;
    b.cause = fmt::format("platform '{}' is not set up any more", b.platform);
    b.gone_at = now();
    record("builder.lost", "builder/" + id, json::serialize(json::object{{"why", b.cause}}));
    save(b);
    roster_.remove(b);
    gone_builders_[id] = std::move(builders_.extract(id).mapped());
  }
  for (const auto& [name, p] : platforms_) ask_platform(name);
  publish_where_missing();
  return recall();
}

void Core::ask_platform(const std::string& platform) {
  platforms_.at(platform).gone_meanwhile.clear();
  effect("list", [this, platform] {
    executor_.list(platform, [this, platform](Result<std::vector<SeenBuilder>> seen) { reconcile(platform, seen); });
  });
}

void Core::retry_lists() {
  for (auto it = list_retries_.begin(); it != list_retries_.end();) {
    it->second = std::min(it->second, now() + list_again);  // the clock may have been put back
    if (now() < it->second) {
      if (!platforms_.at(it->first).reconciled) wake_by(it->second);
      ++it;
      continue;
    }
    ask_platform(it->first);
    it = list_retries_.erase(it);
  }
}

void Core::reconcile(const std::string& platform, const Result<std::vector<SeenBuilder>>& seen) {
  auto& p = platforms_.at(platform);
  if (!seen) {
    if (!p.reconciled) roster_.platform_view(platform).problem = seen.error().text();
    parts_.log.warning("platform {} does not say what it runs: {}", platform, seen.error().text());
    list_retries_[platform] = now() + list_retry;
    return;
  }
  bool first = !std::exchange(p.reconciled, true);
  if (first) roster_.platform_view(platform).problem.clear();
  list_retries_[platform] = now() + list_again;
  std::map<BuilderId, bool> alive;
  for (const auto& s : *seen) {
    alive[s.id] = s.alive;
    if (builders_.contains(s.id) || p.gone_meanwhile.contains(s.id)) continue;
    if (!stops_under_way_.insert(s.id).second) continue;
    record("builder.orphan-removed", "builder/" + s.id, "{}");
    effect("stop", [this, platform, id = s.id] {
      executor_.stop(platform, id, [this, id](Result<void> r) {
        stops_under_way_.erase(id);
        if (!r) parts_.log.error("orphan {} cannot be removed: {}", id, r.error().text());
      });
    });
  }
  if (!first) return;
  std::vector<BuilderId> ours;
  for (const auto& [id, b] : builders_)
    if (b.platform == platform) ours.push_back(id);
  for (const auto& id : ours) adopt(builders_.at(id), alive.contains(id) && alive[id]);
}

void Core::adopt(Builder& b, bool alive) {
  if (b.state == BuilderState::stopping) return issue_stop(b);
  if (!alive) {
    if (ended_unseen(b)) return;
    if (b.state == BuilderState::busy) lose_job_of(b, "its builder was gone when the daemon started again");
    return stop_builder(b, "it was gone when the daemon started again");
  }
  record("builder.adopted", "builder/" + b.id, json::serialize(json::object{{"state", to_string(b.state)}}));
  if (b.state != BuilderState::busy) {
    b.state = BuilderState::starting;  // ready again once its agent has answered
    roster_.moved(b, now());           // for which it has as long as a new one
    save(b);
  }
  effect("connect", [this, id = b.id, address = platforms_.at(b.platform).platform->agent_address(b.id)] {
    agents_.connect(id, address, adopt_patience);
  });
}

}  // namespace mayfly
