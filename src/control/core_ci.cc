// What a CI's queue asks for becomes jobs. Their builders' registrations are in core_ci_runners.cc.
#include <algorithm>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "control/core.h"
#include "plan/ci_match.h"

namespace mayfly {
namespace json = boost::json;
namespace {

constexpr Duration observe_limit = std::chrono::seconds(60);
constexpr Duration sooner = std::chrono::milliseconds(200);  // after a webhook: several come together
constexpr Duration longest_pause = std::chrono::minutes(15);
// The CI sees a job as taken, or not, some time before or after its runner does.
constexpr Duration idle_patience = std::chrono::minutes(2);
constexpr Duration ending_patience = std::chrono::minutes(5);
constexpr int most_tries = 5;
constexpr Duration try_again = std::chrono::seconds(10);

std::string subject(JobId id) { return fmt::format("job/{}", id); }
std::string subject(const PoolName& pool) { return "pool/" + pool; }

Duration backoff(int failures) {
  return std::min<Duration>(std::chrono::minutes(1), std::chrono::seconds(1) * (1 << std::min(failures, 6)));
}

// One line of what the CI calls things: they come from outside and go to terminals and ledgers.
std::string plain(const std::string& text) {
  std::string out = text.substr(0, 500);
  std::replace_if(out.begin(), out.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
  return out;
}

}  // namespace

std::shared_ptr<Ci> Core::connector_of(const Job& j) const {
  if (auto known = at_ci_.find(j.builder); known != at_ci_.end()) return known->second.ci;
  auto found = cis_.find(j.spec.pool);
  return found != cis_.end() && j.ci == found->second.ci->kind() ? found->second.ci : nullptr;
}

Core::CiRuntime* Core::ci_of(const PoolName& pool) {
  auto found = cis_.find(pool);
  return found == cis_.end() ? nullptr : &found->second;
}

// What is due at the CIs: to look at their queues, to forget registrations, to ask how jobs ended.
void Core::attend_cis() {
  if (!strays_.empty()) end_strays();
  for (auto& [pool, ci] : cis_) {
    // A configuration that came later may have dropped the pool or its CI; then only what runs is seen to its end.
    auto spec = parts_.config.pools.find(pool);
    bool wanted = spec != parts_.config.pools.end() && spec->second.ci == ci.ci->kind() && !shutting_down_;
    if (!ci.observing && wanted) {
      if (now() >= ci.observe_at || ci.observe_at > now() + longest_pause)
        observe_ci(pool, ci);
      else
        wake_by(ci.observe_at);
    }
    if (!ci.sweeping && !shutting_down_) {
      if (now() >= ci.sweep_at)
        sweep_ci(pool, ci);
      else
        wake_by(ci.sweep_at);
    }
  }
  attend_runners();
}

void Core::observe_ci(const PoolName& pool, CiRuntime& ci) {
  ci.observing = true;
  effect("ci.observe", [this, pool, asked_at = now(), port = ci.ci] {
    executor_.ci(port, CiWork::observe, [this, pool, asked_at, port]() -> std::function<void()> {
      auto sight = std::make_shared<Result<CiSight>>(port->observe(after(observe_limit)));
      return [this, pool, port, asked_at, sight] { on_sight(pool, port, asked_at, *sight); };
    });
  });
}

void Core::on_sight(const PoolName& pool, const std::shared_ptr<Ci>& by, Time asked_at, const Result<CiSight>& sight) {
  auto* ci = ci_of(pool);
  if (!ci || ci->ci != by) return;
  ci->observing = false;
  if (!sight) {
    ++ci->failures;
    ci->observe_at = now() + backoff(ci->failures);
    tell_ci_problem(pool, *ci, sight.error().text());
    return;
  }
  ci->failures = 0;
  ci->observe_at = now() + std::clamp<Duration>(sight->again, milliseconds(100), longest_pause);
  tell_ci_problem(pool, *ci, sight->throttled ? "it asks for fewer requests" : "");
  if (sight->notice != ci->notice && !sight->notice.empty())
    record("ci.notice", subject(pool), json::serialize(json::object{{"text", plain(sight->notice)}}));
  ci->notice = sight->notice;
  hear(pool, sight->jobs, sight->whole, asked_at);
}

void Core::tell_ci_problem(const PoolName& pool, CiRuntime& ci, const std::string& problem) {
  if (problem == ci.problem) return;
  if (problem.empty())
    record("ci.answers-again", subject(pool), "{}");
  else
    record("ci.problem", subject(pool), json::serialize(json::object{{"problem", plain(problem)}}));
  if (!problem.empty()) parts_.log.warning("pool {}: its CI ({}): {}", pool, ci.ci->kind(), problem);
  ci.problem = problem;
}

void Core::on_ci_news(const PoolName& pool, const CiNews& news) {
  auto* ci = ci_of(pool);
  if (!ci || shutting_down_ || !parts_.config.pools.contains(pool)) return;
  hear(pool, news.jobs, false, now());
  if (news.look) ci->observe_at = std::min(ci->observe_at, now() + sooner);
}

// What the CI says of jobs, from either way: first what runners of ours took, then what is wanted.
void Core::hear(const PoolName& pool, const std::vector<CiJob>& said, bool whole, Time asked_at) {
  std::map<std::string, JobId> runners;
  for (const auto& [id, j] : jobs_)
    if (j.spec.pool == pool && !j.external.runner.empty()) runners[j.external.runner] = id;
  plan::CiQueue queue;
  queue.whole = whole, queue.asked_at = asked_at;
  std::vector<const CiJob*> pending;
  for (const auto& c : said) {
    if (c.id.empty() || c.id.size() > 200) continue;
    if (c.phase == CiPhase::pending) {
      pending.push_back(&c);
      continue;
    }
    queue.over.push_back(c.id);
    if (auto mine = runners.find(c.runner); mine != runners.end() && !c.runner.empty())
      if (auto job = jobs_.find(mine->second); job != jobs_.end()) on_taken(job->second, c);
  }
  std::sort(pending.begin(), pending.end(), [](auto* a, auto* b) {
    return a->priority != b->priority ? a->priority > b->priority : a < b;  // equals as the CI said them
  });
  std::map<std::string, const CiJob*> by_id;
  for (const auto* c : pending) {
    queue.pending.push_back(c->id);
    by_id.emplace(c->id, c);
  }
  match_jobs(pool, queue, by_id);
}

void Core::match_jobs(const PoolName& pool, const plan::CiQueue& queue,
                      const std::map<std::string, const CiJob*>& pending) {
  std::vector<plan::CiHeld> held;
  const auto& here = cis_.at(pool).ci;
  for (const auto& [id, j] : jobs_) {
    if (j.spec.pool != pool || connector_of(j) != here || j.external.taken || settling_.contains(id) ||
        j.cancel_requested)
      continue;
    auto told = ci_told_.find(id);
    held.push_back({id, j.external.id, told == ci_told_.end() ? j.queued_at : told->second});
  }
  auto match = plan::match_ci(queue, held);
  for (const auto& h : held)
    if (pending.contains(h.id)) idle_since_.erase(h.job), ci_told_[h.job] = now();
  for (const auto& [id, name] : match.renamed) {
    auto& j = jobs_.at(id);
    record("ci.renamed", subject(id), json::serialize(json::object{{"from", j.external.id}, {"to", name}}));
    describe(j, *pending.at(name));
    idle_since_.erase(id);
  }
  for (JobId id : match.surplus) surplus(jobs_.at(id));
  for (const auto& id : match.create) create_ci_job(pool, *pending.at(id));
}

void Core::describe(Job& j, const CiJob& c) {
  j.external.id = c.id;
  j.external.url = plain(c.url);
  j.external.name = plain(c.name);
  j.external.queued_at = c.queued_at;
  if (c.phase == CiPhase::pending) ci_told_[j.id] = now();
  save(j);
}

// A CI's job may need several of ours, one after the other: builders are lost before they take it. Each try has a key
// of its own, so that neither a notification said twice nor a restarted daemon makes two of one.
void Core::create_ci_job(const PoolName& pool, const CiJob& c) {
  auto& ci = cis_.at(pool);
  if (!store_problem_.empty()) return;
  for (int n = 1; n <= most_tries; ++n) {
    // With the place: Azure DevOps numbers the jobs of each organization from 1 on.
    auto key = fmt::format("ci/{}/{}/{}/{}/{}", ci.ci->kind(), ci.ci->place(), pool, c.id, n);
    if (pending_keys_.contains(key)) return;
    auto known = parts_.store.job_with_key(key);
    if (!known) return;
    if (!*known) return submit_ci_job(pool, ci, c, key);
    auto before = job(**known);
    if (!before || before->external.id != c.id) continue;  // it names another one by now
    // Under way, taken already (then the CI's word is older than ours), or cancelled by somebody here.
    if (!is_final(before->state) || before->external.taken || before->cancel_requested) return;
    if (now() < before->ended_at + try_again * n) return;
  }
  if (!ci.given_up.insert(c.id).second || ci.given_up.size() > 10'000) return;
  record("ci.given-up", subject(pool), json::serialize(json::object{{"ci_job", c.id}, {"tries", most_tries}}));
  parts_.log.error("pool {}: {} builders in a row did not take job {} of the CI", pool, most_tries, c.id);
}

void Core::submit_ci_job(const PoolName& pool, CiRuntime& ci, const CiJob& c, const std::string& key) {
  auto runner = ci.ci->runner();
  JobRequest r;
  r.spec.pool = pool;
  r.spec.name = plain(c.name);
  r.spec.script = runner.script;
  r.spec.env = runner.env;
  r.spec.priority = std::clamp(c.priority, -1000, 1000);
  r.spec.submitter = fmt::format("ci/{}", ci.ci->kind());
  r.idempotency_key = key;
  r.ci = ci.ci->kind();
  r.external.id = c.id;
  r.external.url = plain(c.url);
  r.external.name = plain(c.name);
  r.external.queued_at = c.queued_at;
  submit(std::move(r), [this, pool](Result<Job> made) {
    if (!made) parts_.log.warning("pool {}: no job for the CI's: {}", pool, made.error().text());
  });
}

// Nothing in the CI waits for it: at once if it has no builder; else its runner may have taken one that we have not
// heard of, so it is asked first and given some time.
void Core::surplus(Job& j) {
  if (j.state == JobState::queued) {
    record("ci.vanished", subject(j.id), json::serialize(json::object{{"ci_job", j.external.id}}));
    return end_job(j, JobResult{JobCause::cancelled, 0, 0, "nothing in the CI waits for it any more"});
  }
  auto [since, first] = idle_since_.try_emplace(j.id, now());
  if (first || minting_.contains(j.builder)) return;
  if (now() - since->second < idle_patience) return ask_taken(j);
  idle_since_.erase(since);
  record("ci.vanished", subject(j.id), json::serialize(json::object{{"ci_job", j.external.id}}));
  send_cancel(j);
}

// The CI says what this runner has.
void Core::on_taken(Job& j, const CiJob& c) {
  if (!from_ci(j)) return;
  idle_since_.erase(j.id);
  bool second = j.external.taken && j.external.id != c.id;
  if (second) {
    if (ci_second_.insert(j.id).second) {
      record("ci.second-job", subject(j.id), json::serialize(json::object{{"ci_job", c.id}, {"had", j.external.id}}));
      parts_.log.error("job {}: the CI gave its builder a second job, {}, which it will not run", j.id, c.id);
    }
    return;
  }
  if (!j.external.taken) {
    describe(j, c);
    j.external.taken = true;
    record("ci.taken", subject(j.id),
           json::serialize(json::object{{"ci_job", c.id}, {"url", j.external.url}, {"runner", j.external.runner}}));
  }
  bool news = j.external.result != plain(c.result) || j.external.ended_at != c.ended_at ||
              j.external.started_at != c.started_at;
  j.external.started_at = c.started_at;
  j.external.ended_at = c.ended_at;
  j.external.result = plain(c.result);
  if (news) save(j);
  if (c.phase != CiPhase::ended) return;
  auto [known, first] = ci_ended_.try_emplace(j.id, CiEnded{c, now()});
  known->second.job = c;
  if (settling_.contains(j.id)) return settle_with(j, c);
  // Its agent should have left by now: it is not waited for until the pool's time limit.
  if (!first && now() - known->second.heard >= ending_patience && !cancel_deadlines_.contains(j.id)) {
    record("ci.agent-stays", subject(j.id), "{}");
    send_cancel(j);
  }
}

void Core::forget_notes_of_ci(JobId id) {
  ci_told_.erase(id);
  idle_since_.erase(id);
  connect_by_.erase(id);
  ci_ended_.erase(id);
  ci_second_.erase(id);
  settling_.erase(id);
}

}  // namespace mayfly
