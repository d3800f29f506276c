#include "control/core.h"

#include <boost/json.hpp>

#include <fmt/format.h>

#include "model/json.h"

namespace mayfly {

namespace {
constexpr Duration health_again = std::chrono::seconds(1);  // while nothing is launched: for the status alone
}

Core::Core(ControlParts parts, Agents& agents, Executor& executor)
    : parts_(std::move(parts)), agents_(agents), executor_(executor), started_at_(parts_.clock.now()) {
  for (Platform* p : parts_.platforms) platforms_[std::string(p->name())].platform = p;
  for (auto& [pool, ci] : std::exchange(parts_.cis, {})) cis_[pool].ci = std::move(ci);
  for (const auto& [name, spec] : parts_.config.pools) set_up_pool(name, false);
  set_up_platforms();
  roster_.pools_changed();
}

void Core::record(std::string kind, std::string subject, std::string detail) {
  batch_.ledger.push_back({now(), std::move(kind), std::move(subject), std::move(detail)});
}

void Core::reach(std::string_view name, std::string_view side) {
  if (parts_.on_step) parts_.on_step(fmt::format("{}.{}", name, side));
}

void Core::wake_by(Time t) {
  if (!wake_ || t < *wake_) wake_ = t;
}

void Core::step() {
  wake_.reset();
  if (now() >= next_sweep_) {
    forget_old_jobs();
    forget_old_uploads();
    sweep_versions();
    next_sweep_ = now() + std::chrono::minutes(10);
  }
  if (!dropped_pools_.empty()) forget_pools();
  check_cancels();
  attend_cis();
  retry_stops();
  retry_lists();
  if (versions_changed_ && store_problem_.empty()) follow_versions();
  publish_due();
  // While nothing can be written down nothing is decided either: the world is left as it is, and seen again afterwards.
  if (store_problem_.empty()) {
    const auto& seen = see();
    auto plan = plan::plan(seen, now(), parts_.patience);
    if (ask_health_before(plan)) plan = plan::plan(seen, now(), parts_.patience);
    if (parts_.on_plan) parts_.on_plan(plan);
    apply(std::move(plan));
  }
  flush();
  if (draining_ && builders_.empty() && batch_.empty()) {
    draining_ = false;
    if (parts_.on_drained) parts_.on_drained();
  }
}

const plan::Seen& Core::see() {
  for (auto& [name, p] : platforms_) {
    auto& view = roster_.platform_view(name);
    p.health_asked = false;
    if (p.budget) p.budget->refill(parts_.clock.steady());
    if (!p.reconciled) {
      view.available = false;
      if (view.problem.empty()) view.problem = "its builders are being looked at after a start";
    } else if (!view.available || now() - p.health_at >= health_again || now() < p.health_at) {
      ask_health(name, p);
    }
  }
  for (auto& [name, run] : pools_) {
    if (!run.schedule) continue;
    auto& numbers = roster_.pool_view(name).numbers;
    if (run.numbers_from != Time{} && now() >= run.numbers_from && (!numbers.until || now() < *numbers.until)) continue;
    numbers = run.schedule->at(now());
    run.numbers_from = now();
  }
  return roster_.look(shutting_down_);
}

void Core::ask_health(const std::string& name, PlatformRuntime& p) {
  auto health = p.platform->health();
  auto& view = roster_.platform_view(name);
  view.available = health.accepts_builders;
  view.disk_full = health.disk_full;
  view.problem = health.accepts_builders ? "" : health.problem;
  p.health_at = now();
  p.health_asked = true;
}

// A platform is asked how it is before each round of launches; true: one takes none after all, so plan again.
bool Core::ask_health_before(const plan::Plan& plan) {
  bool changed = false;
  std::set<plan::Index> asked;
  for (const auto& action : plan.actions) {
    const auto* start = std::get_if<plan::StartBuilder>(&action);
    if (!start) continue;
    auto index = roster_.look(shutting_down_).pools[start->pool].platform;
    if (!asked.insert(index).second) continue;
    const auto& name = roster_.look(shutting_down_).platforms[index].name;
    auto& p = platforms_.at(name);
    if (p.health_asked) continue;
    ask_health(name, p);
    changed = changed || !roster_.platform_view(name).available;
  }
  return changed;
}

void Core::carry_out(const plan::FailJob& a) {
  auto& job = jobs_.at(a.job);
  // The next job gets a try of its own, not this one's verdict.
  for (auto& version : roster_.pool_view(roster_.seen().pools[a.pool].name).versions) {
    if (a.result.cause == JobCause::start_failed) version.starts.failed = 0;
    if (a.result.cause == JobCause::image_unavailable) version.image.permanent = false, version.image.failures = 0;
  }
  end_job(job, a.result);
}

void Core::carry_out(const plan::CancelOverdue& a) {
  auto& job = jobs_.at(a.job);
  if (settling_.contains(a.job)) return;  // its builder has ended it
  auto b = builders_.find(job.builder);
  bool there = b != builders_.end() && b->second.state != BuilderState::stopping;
  if (there && ended_unseen(b->second)) return;
  conclude(job, JobResult{JobCause::timed_out, 0, 0, a.why});
  if (there) stop_builder(b->second, a.why);
}

void Core::apply(plan::Plan plan) {
  struct Apply {
    Core& core;
    void operator()(const plan::PrepareImage& a) { core.prepare_image(a); }
    void operator()(const plan::StartBuilder& a) { core.start_builder(a); }
    void operator()(const plan::StopBuilder& a) {
      auto& b = core.builders_.at(a.builder);
      if (b.state == BuilderState::starting || b.state == BuilderState::requested)
        core.start_failed(b, Error{ErrorCode::timeout, a.why});
      else
        core.stop_builder(b, a.why);
    }
    void operator()(const plan::AssignJob& a) { core.assign(core.jobs_.at(a.job), core.builders_.at(a.builder)); }
    void operator()(const plan::FailJob& a) { core.carry_out(a); }
    void operator()(const plan::CancelOverdue& a) { core.carry_out(a); }
    void operator()(const plan::MoveRollout& a) {
      const auto& name = core.roster_.seen().pools[a.pool].name;
      core.move_rollout(core.pool_versions_.at(name), a.next, a.why, {});
    }
  };
  for (const auto& action : plan.actions) std::visit(Apply{*this}, action);
  for (const auto& wait : plan.waits) {
    if (!wait.fresh) continue;
    if (auto job = jobs_.find(wait.job); job != jobs_.end()) job->second.waiting = {wait.code, {}, now(), {}};
  }
  if (plan.wake) wake_by(*plan.wake);
  told_ = std::move(plan);
  told_.actions.clear();
  told_places_.clear();
}

// What the last plan said of this job; null: nothing that still holds.
const plan::Wait* Core::told(const Job& job) {
  if (job.state != JobState::queued) return nullptr;
  if (told_places_.empty())
    for (std::size_t i = 0; i < told_.waits.size(); ++i) told_places_[told_.waits[i].job] = i;
  auto place = told_places_.find(job.id);
  if (place == told_places_.end() || told_.waits[place->second].code != job.waiting.code) return nullptr;
  return &told_.waits[place->second];
}

plan::Index Core::waits_in(const Job& job) {
  const auto* wait = told(job);
  return wait ? wait->pool : roster_.queue_of(job);
}

// The sentence is made when somebody asks: a queue of thousands moves up with every job that starts.
Job Core::with_reason(const Job& job) {
  Job with = job;
  const auto* wait = told(job);
  if (!wait) return with;
  with.waiting = told_.reason(*wait);
  with.waiting.since = job.waiting.since;
  return with;
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
  for (const auto& name : dirty_pools_) batch_.pools.push_back(pool_versions_.at(name));
  dirty_jobs_.clear();
  dirty_builders_.clear();
  dirty_pools_.clear();
  if (!batch_.empty()) {
    reach("commit", "before");
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
    reach("commit", "after");
    batch_ = {};
    ended_jobs_.clear();
    gone_builders_.clear();
    pending_keys_.clear();
  } else if (!store_problem_.empty()) {
    store_problem_.clear();
  }
  auto effects = std::move(effects_);
  effects_.clear();
  prepared_ = 0;
  for (bool urgent : {true, false})
    for (auto& e : effects) {
      if (e.urgent != urgent) continue;
      reach(e.name, "before");
      e.run();
      reach(e.name, "after");
    }
  if (std::exchange(time_for_files_, false)) create_next_files();
}

void Core::drain(const std::string& who, Done<Status> done) {
  if (!shutting_down_) {
    record("daemon.draining", "daemon", boost::json::serialize(boost::json::object{{"by", who}}));
    parts_.log.info("draining, as {} asked: running jobs finish, nothing new is started", who);
    begin_stop(false);
    draining_ = true;
  }
  effect("drain.reply", [this, done] { done(status()); });
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
  if (killing_ && !forgetting_.empty()) return false;
  for (const auto& [id, b] : builders_)
    if (killing_ || b.state != BuilderState::busy) return false;
  return true;
}

}  // namespace mayfly
