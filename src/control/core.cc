#include "control/core.h"

#include <boost/json.hpp>

#include <fmt/format.h>

#include "model/json.h"

namespace mayfly {

Core::Core(ControlParts parts, Agents& agents, Executor& executor)
    : parts_(std::move(parts)), agents_(agents), executor_(executor), started_at_(parts_.clock.now()) {
  for (Platform* p : parts_.platforms) platforms_[std::string(p->name())].platform = p;
  for (const auto& [name, spec] : parts_.config.pools) {
    auto& run = pools_[name];
    if (!spec.schedule.empty()) run.schedule.emplace(spec);
  }
}

void Core::record(std::string kind, std::string subject, std::string detail) {
  batch_.ledger.push_back({now(), std::move(kind), std::move(subject), std::move(detail)});
}

void Core::wake_by(Time t) {
  if (!wake_ || t < *wake_) wake_ = t;
}

void Core::step() {
  wake_.reset();
  if (now() >= next_sweep_) {
    forget_old_jobs();
    forget_old_uploads();
    next_sweep_ = now() + std::chrono::minutes(10);
  }
  check_cancels();
  retry_stops();
  retry_lists();
  // While nothing can be written down nothing is decided either: the world is left as it is, and seen again afterwards.
  if (store_problem_.empty()) {
    auto plan = plan::plan(see(), now());
    if (parts_.on_plan) parts_.on_plan(plan);
    apply(plan);
  }
  flush();
}

plan::Seen Core::see() {
  plan::Seen seen;
  seen.shutting_down = shutting_down_;
  for (auto& [name, p] : platforms_) {
    plan::PlatformView view;
    view.parallel_launches = p.platform->parallel_launches();
    if (!p.reconciled) {
      view.available = false;
      view.problem = p.problem.empty() ? "its builders are being looked at after a start" : p.problem;
    } else if (auto health = p.platform->health(); !health.accepts_builders) {
      view.available = false;
      view.disk_full = health.disk_full;
      view.problem = health.problem;
    }
    p.problem = view.problem;
    seen.platforms[name] = view;
  }
  for (const auto& [name, spec] : parts_.config.pools) {
    const auto& run = pools_.at(name);
    plan::PoolView view;
    view.spec = &spec;
    view.schedule = run.schedule ? &*run.schedule : nullptr;
    view.image = {run.image.has_value(),       run.preparing,      run.image_problem,
                  run.image_problem_permanent, run.image_failures, run.image_retry_at};
    view.failed_starts = run.failed_starts;
    view.start_problem = run.start_problem;
    view.start_after = run.start_after;
    seen.pools[name] = view;
  }
  for (const auto& [id, j] : jobs_) seen.jobs.push_back(&j);
  for (const auto& [id, b] : builders_) seen.builders.push_back(&b);
  return seen;
}

void Core::apply(const plan::Plan& plan) {
  struct Apply {
    Core& core;
    void operator()(const plan::PrepareImage& a) { core.prepare_image(a.pool); }
    void operator()(const plan::StartBuilder& a) { core.start_builder(a); }
    void operator()(const plan::StopBuilder& a) {
      auto& b = core.builders_.at(a.builder);
      if (b.state == BuilderState::starting || b.state == BuilderState::requested)
        core.start_failed(b, Error{ErrorCode::timeout, a.why});
      else
        core.stop_builder(b, a.why);
    }
    void operator()(const plan::AssignJob& a) { core.assign(core.jobs_.at(a.job), core.builders_.at(a.builder)); }
    void operator()(const plan::FailJob& a) {
      auto& run = core.pools_.at(core.jobs_.at(a.job).spec.pool);
      // The next job gets a try of its own, not this one's verdict.
      if (a.result.cause == JobCause::start_failed) run.failed_starts = 0;
      if (a.result.cause == JobCause::image_unavailable) run.image_problem_permanent = false, run.image_failures = 0;
      core.end_job(core.jobs_.at(a.job), a.result);
    }
    void operator()(const plan::CancelOverdue& a) {
      auto& j = core.jobs_.at(a.job);
      auto& b = core.builders_.at(j.builder);
      if (core.ended_unseen(b)) return;
      core.end_job(j, JobResult{JobCause::timed_out, 0, 0, a.why});
      core.stop_builder(b, a.why);
    }
  };
  for (const auto& action : plan.actions) std::visit(Apply{*this}, action);
  for (const auto& [id, reason] : plan.reasons) {
    auto found = jobs_.find(id);
    if (found == jobs_.end()) continue;
    auto& waiting = found->second.waiting;
    Time since = waiting.code == reason.code ? waiting.since : now();
    waiting = reason;
    waiting.since = since;
  }
  if (plan.wake) wake_by(*plan.wake);
}

// Everything that changed is written as one commit; only then do its effects happen. If the commit fails (a full disk),
// changes and effects are kept and tried again, so that nothing is done that is not written and nothing is forgotten.
void Core::flush() {
  for (JobId id : dirty_jobs_) {
    if (auto j = jobs_.find(id); j != jobs_.end())
      batch_.jobs.push_back(j->second);
    else if (auto e = ended_jobs_.find(id); e != ended_jobs_.end())
      batch_.jobs.push_back(e->second);
  }
  for (const auto& id : dirty_builders_) {
    if (auto b = builders_.find(id); b != builders_.end())
      batch_.builders.push_back(b->second);
    else if (auto g = gone_builders_.find(id); g != gone_builders_.end())
      batch_.builders.push_back(g->second);
  }
  dirty_jobs_.clear();
  dirty_builders_.clear();
  if (!batch_.empty()) {
    parts_.on_step("commit.before");
    if (auto written = parts_.store.commit(batch_); !written) {
      if (store_problem_.empty()) parts_.log.error("cannot write to the store: {}", written.error().text());
      store_problem_ = written.error().text();
      wake_by(now() + milliseconds(500));
      return;
    }
    if (!store_problem_.empty()) {
      parts_.log.info("the store can be written to again");
      wake_by(now());  // this step has not planned
    }
    store_problem_.clear();
    parts_.on_step("commit.after");
    batch_ = {};
    ended_jobs_.clear();
    gone_builders_.clear();
    pending_keys_.clear();
  } else if (!store_problem_.empty()) {
    store_problem_.clear();
  }
  auto effects = std::move(effects_);
  effects_.clear();
  for (auto& e : effects) {
    parts_.on_step(e.name + ".before");
    e.run();
    parts_.on_step(e.name + ".after");
  }
}

Status Core::status() {
  Status s;
  s.started_at = started_at_;
  s.notice = store_problem_.empty() ? "" : "the store cannot be written to: " + store_problem_;
  for (const auto& [name, p] : platforms_)
    if (s.notice.empty() && !p.problem.empty())
      s.notice = fmt::format("platform '{}' takes no builders: {}", name, p.problem);
  for (const auto& [name, spec] : parts_.config.pools) {
    const auto& run = pools_.at(name);
    PoolStatus p;
    p.spec = spec;
    if (run.schedule) {
      auto numbers = run.schedule->at(now());
      p.spec.warm = numbers.warm;
      p.spec.min = numbers.min;
      p.spec.max = numbers.max;
    }
    if (run.image) p.image_digest = run.image->digest;
    p.problem = !run.image_problem.empty() ? run.image_problem : run.failed_starts > 0 ? run.start_problem : "";
    for (const auto& [id, j] : jobs_) p.queued += j.spec.pool == name && j.state == JobState::queued;
    for (const auto& [id, b] : builders_) {
      if (b.pool != name) continue;
      p.starting += b.state == BuilderState::requested || b.state == BuilderState::starting;
      p.ready += b.state == BuilderState::ready;
      p.busy += b.state == BuilderState::busy;
      p.stopping += b.state == BuilderState::stopping;
    }
    s.pools.push_back(std::move(p));
  }
  return s;
}

void Core::begin_stop(bool kill) {
  shutting_down_ = true;
  killing_ = kill;
  if (!kill) return;
  std::vector<BuilderId> all;
  for (const auto& [id, b] : builders_) all.push_back(id);
  for (const auto& id : all) {
    auto& b = builders_.at(id);
    if (b.state == BuilderState::stopping || ended_unseen(b)) continue;
    if (b.state == BuilderState::busy) lose_job_of(b, "the daemon was told to stop its builders");
    stop_builder(b, "the daemon is stopping");
  }
}

bool Core::quiet() const {
  if (!batch_.empty() || !effects_.empty()) return false;
  for (const auto& [id, b] : builders_)
    if (killing_ || b.state != BuilderState::busy) return false;
  return true;
}

}  // namespace mayfly
