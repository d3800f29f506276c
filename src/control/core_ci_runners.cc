// What a builder is at a CI: its registration is made before it gets its job, the CI is asked what became of it, and it
// is removed whatever happened. What a killed daemon left is found by the names, which begin alike.
#include <algorithm>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "control/core.h"

namespace mayfly {
namespace json = boost::json;
namespace {

constexpr Duration mint_limit = std::chrono::seconds(60);
constexpr Duration ask_limit = std::chrono::seconds(30);
constexpr Duration settle_patience = std::chrono::minutes(2);
constexpr int nothing_taken_after = 3;  // answers that say so: the CI may be slow to know
constexpr Duration sweep_again = std::chrono::minutes(10);
constexpr Duration sweep_soon = std::chrono::minutes(1);  // a call of a daemon that was killed may take effect late
constexpr std::size_t longest_name = 64;

std::string subject(JobId id) { return fmt::format("job/{}", id); }

Duration backoff(int failures) {
  return std::min<Duration>(std::chrono::minutes(1), milliseconds(500) * (1 << std::min(failures, 7)));
}

// How a job ended: the CI's word, and for what the CI cannot know (memory, disk) the builder's.
JobResult verdict(const JobResult& hint, const CiJob& c) {
  JobResult r = hint;
  bool cause_known = hint.cause == JobCause::oom_killed || hint.cause == JobCause::disk_full;
  auto said = fmt::format("the CI says: {}", c.result.empty() ? "nothing more" : c.result);
  switch (c.outcome) {
    case CiOutcome::succeeded:
    case CiOutcome::skipped:
      return {JobCause::exited, 0, 0, c.outcome == CiOutcome::skipped ? said : ""};
    case CiOutcome::failed:
      if (cause_known) return r;
      return {JobCause::exited, hint.cause == JobCause::exited && hint.exit_code != 0 ? hint.exit_code : 1, 0, said};
    case CiOutcome::cancelled:
      return {JobCause::cancelled, 0, 0, said};
    case CiOutcome::timed_out:
      return {JobCause::timed_out, 0, 0, said};
    case CiOutcome::abandoned:
    case CiOutcome::unknown:
      break;
  }
  if (cause_known || hint.cause == JobCause::cancelled || hint.cause == JobCause::timed_out) return r;
  return {JobCause::builder_lost, hint.exit_code, 0, said};
}

// Without the CI's word nothing is called a success: the agents of most CIs exit with 0 whatever became of the job.
JobResult without_verdict(const JobResult& hint, const std::string& why) {
  if (hint.cause != JobCause::exited && hint.cause != JobCause::signalled) return hint;
  return {JobCause::builder_lost, hint.exit_code, hint.signal, why};
}

}  // namespace

// "mf-1a2b3c-general-17": the same for every daemon on this state directory, another for every other one, so that none
// removes what is not its own.
Result<std::string> Core::ci_prefix() {
  if (ci_prefix_.empty()) {
    MAYFLY_ASSIGN(auto first, parts_.store.ledger(1, 1));
    if (first.empty()) return fail(ErrorCode::unavailable, "nothing is written down yet", "store");
    ci_prefix_ = "mf-" + first.front().hash.substr(0, 6) + "-";
  }
  return ci_prefix_;
}

std::string Core::runner_name(const std::string& prefix, const BuilderId& builder) {
  if (prefix.size() + builder.size() <= longest_name) return prefix + builder;
  auto number = builder.substr(builder.rfind('-'));
  return prefix + builder.substr(0, longest_name - prefix.size() - number.size()) + number;
}

// False: the CI gives no credentials for now, and the job waits.
bool Core::may_mint(Job& j) {
  auto& ci = *ci_of(j.spec.pool);
  if (ci.mint_after && now() < *ci.mint_after) {
    wake_by(*ci.mint_after);
    if (j.waiting.code != ReasonCode::ci_unavailable) j.waiting.since = now();
    j.waiting.code = ReasonCode::ci_unavailable;
    j.waiting.text = "its CI gives no credential for a builder: " + ci.mint_problem;
    j.waiting.until = ci.mint_after;
    return false;
  }
  return ci_prefix().has_value();
}

// The assignment and the name are written down before the CI hears of them.
void Core::mint(Job& j, const Builder& b) {
  j.external.runner = runner_name(ci_prefix().value(), b.id);
  record("ci.mint", subject(j.id), json::serialize(json::object{{"runner", j.external.runner}, {"builder", b.id}}));
  minting_.insert(b.id);
  at_ci_[b.id] = {ci_of(j.spec.pool)->ci, {j.external.runner}};
  CiJob wanted{.id = j.external.id, .url = j.external.url, .name = j.external.name};
  effect("ci.mint", [this, pool = j.spec.pool, job = j.id, builder = b.id, name = j.external.runner, wanted,
                     port = ci_of(j.spec.pool)->ci] {
    executor_.ci(port, CiWork::act, [this, pool, job, builder, name, wanted, port]() -> std::function<void()> {
      auto made = std::make_shared<Result<CiCredential>>(port->mint(name, wanted, after(mint_limit)));
      return [this, pool, job, builder, made] { on_minted(pool, job, builder, std::move(*made)); };
    });
  });
}

void Core::on_minted(const PoolName& pool, JobId job, const BuilderId& builder, Result<CiCredential> made) {
  minting_.erase(builder);
  auto j = jobs_.find(job);
  auto b = builders_.find(builder);
  bool wanted = j != jobs_.end() && b != builders_.end() && b->second.state == BuilderState::busy &&
                j->second.builder == builder && !settling_.contains(job);
  if (j != jobs_.end() && made)
    record(
        "ci.minted", subject(job),
        json::serialize(json::object{
            {"runner", made->registration.name}, {"id", made->registration.id}, {"how", made->note.substr(0, 200)}}));
  if (!wanted) {
    // Its builder has gone, or goes: whatever was made is removed.
    if (b == builders_.end()) forget_runner_of(builder, pool);
    return;
  }
  auto* ci = ci_of(j->second.spec.pool);
  if (!made) return mint_failed(ci, j->second, b->second, made.error());
  if (ci) ci->failed_mints = 0, ci->mint_after.reset();
  if (j->second.cancel_requested) {
    end_job(j->second, JobResult{JobCause::cancelled, 0, 0, "cancelled before it started"});
    return stop_builder(b->second, "its job was cancelled");
  }
  at_ci_.at(builder).registration = made->registration;
  auto order = order_for(j->second, b->second);
  if (!order) {
    end_job(j->second, JobResult{JobCause::secret_unavailable, 0, 0, order.error().text()});
    return stop_builder(b->second, "its job could not be given to it");
  }
  for (auto& [variable, value] : made->secrets) order->message.secrets[variable] = std::move(value);
  expect_agent(job);
  hand_over(j->second, b->second, std::move(*order));
}

// The builder was given away and is not used again; the job waits for another.
void Core::mint_failed(CiRuntime* ci, Job& j, Builder& b, const Error& error) {
  auto problem = error.text().substr(0, 500);
  if (ci && ci->ci == connector_of(j)) {
    ++ci->failed_mints;
    ci->mint_problem = problem;
    ci->mint_after = now() + backoff(ci->failed_mints);
    wake_by(*ci->mint_after);
  }
  record("ci.mint-failed", subject(j.id), json::serialize(json::object{{"problem", problem}}));
  parts_.log.warning("job {}: no credential for its builder: {}", j.id, error.text());
  if (j.cancel_requested)
    end_job(j, JobResult{JobCause::cancelled, 0, 0, "cancelled before it started"});
  else
    put_back(j, "job.returned", "its builder got no credential from the CI: " + problem);
  stop_builder(b, "it got no credential from the CI");
}

// The builder has ended the job: what became of it the CI must say. Until then it counts as running.
void Core::conclude(Job& j, JobResult result) {
  if (settling_.contains(j.id)) return;
  bool reported = j.result.cause != JobCause::none;  // report(): that is why its builder ends it
  if (reported && result.cause != JobCause::oom_killed && result.cause != JobCause::disk_full) result = j.result;
  if (j.external.runner.empty()) return end_job(j, std::move(result));
  if (!from_ci(j))  // sent by its CI, which has reported or will not; or nobody is left to ask
    return end_job(j, fetched(j) ? without_verdict(result, "its CI is no longer in the configuration") : result);
  // Nobody would be there for the answer.
  if (killing_) return end_job(j, without_verdict(result, "the daemon was told to stop its builders"));
  j.result = std::move(result);
  save(j);
  record("ci.asked", subject(j.id),
         json::serialize(json::object{{"builder_said", to_string(j.result.cause)}, {"exit_code", j.result.exit_code}}));
  settle(j);
}

void Core::settle(Job& j) {
  settling_[j.id] = {now() + settle_patience, now(), 0};
  cancel_deadlines_.erase(j.id);
  if (auto known = ci_ended_.find(j.id); known != ci_ended_.end()) return settle_with(j, known->second.job);
  ask_taken(j);
}

// After a start: jobs of which the last daemon had not heard how they ended.
void Core::resume_settling() {
  std::vector<JobId> open;
  for (const auto& [id, j] : jobs_) {
    if (j.result.cause == JobCause::none && awaits_agent(j)) expect_agent(id);
    if (j.state != JobState::queued && j.result.cause != JobCause::none) open.push_back(id);
  }
  for (JobId id : open) {
    auto& j = jobs_.at(id);
    if (from_ci(j))
      settle(j);
    else if (j.external.runner.empty())
      end_job(j, j.result);  // reported
    else
      end_job(j, without_verdict(j.result, "its CI is no longer in the configuration"));
  }
}

// The CI's word before the builder's: the builder is stopped for it, and the job ends when it has.
void Core::report(JobId id, const CiReport& report, const std::string& who, Done<Job> done) {
  auto found = jobs_.find(id);
  auto refuse = [&](ErrorCode code, std::string what) { done(fail(code, std::move(what), fmt::format("job {}", id))); };
  if (found == jobs_.end()) {
    auto old = job(id);
    return old ? refuse(ErrorCode::conflict, "it has ended already") : done(old);
  }
  Job& j = found->second;
  if (j.external.id.empty() || from_ci(j)) return refuse(ErrorCode::conflict, "no CI has sent it, so none can report");
  if (who != j.spec.submitter) return refuse(ErrorCode::denied, "only who submitted it can report how it ended");
  if (j.state == JobState::queued) return refuse(ErrorCode::conflict, "it has not started; cancel it");
  if (j.result.cause == JobCause::none) {
    CiJob c{.id = j.external.id, .outcome = report.outcome, .result = report.result.substr(0, 200)};
    j.result = verdict({JobCause::exited, 0, 0, {}}, c);
    j.external.taken = true;
    j.external.result = c.result;
    j.external.ended_at = now();
    record("job.reported", subject(id), json::serialize(json::object{{"by", who}, {"result", c.result}}));
    save(j);
    send_cancel(j);
  }
  effect("report.reply", [this, id, done] { done(job(id)); });
}

// Somebody cancelled it here: the CI would give it to the next runner otherwise.
void Core::cancel_at_ci(const Job& j) {
  auto port = connector_of(j);
  if (!port->cancellation()) return;
  effect("ci.cancel", [this, id = j.id, ci_job = j.external.id, port] {
    executor_.ci(port, CiWork::act, [this, id, ci_job, port]() -> std::function<void()> {
      auto done = std::make_shared<Result<void>>(port->cancellation()->cancel(ci_job, after(ask_limit)));
      return [this, id, done] {
        if (!*done && done->error().code != ErrorCode::not_found)
          record("ci.cancel-failed", subject(id), json::serialize(json::object{{"problem", done->error().text()}}));
      };
    });
  });
}

void Core::ask_taken(Job& j) {
  auto port = connector_of(j);
  if (!port || !asking_.insert(j.id).second) return;
  auto found = at_ci_.find(j.builder);
  CiRegistration r = found != at_ci_.end() ? found->second.registration : CiRegistration{j.external.runner};
  effect("ci.ask", [this, id = j.id, r, port] {
    executor_.ci(port, CiWork::act, [this, id, r, port]() -> std::function<void()> {
      auto taken = std::make_shared<Result<std::optional<CiJob>>>(port->taken(r, after(ask_limit)));
      return [this, id, taken] { on_answer(id, *taken); };
    });
  });
}

void Core::on_answer(JobId id, const Result<std::optional<CiJob>>& taken) {
  asking_.erase(id);
  auto found = jobs_.find(id);
  if (found == jobs_.end()) return;
  Job& j = found->second;
  if (taken && *taken) on_taken(j, **taken);  // may end it
  auto settling = settling_.find(id);
  if (settling == settling_.end()) return;
  auto& s = settling->second;
  ++s.answers;
  if (taken && !*taken && s.answers >= nothing_taken_after)
    return settled(j, without_verdict(j.result, "its agent ended without having taken a job"));
  s.ask_at = now() + std::min<Duration>(seconds(10), milliseconds(500) * (1 << std::min(s.answers, 6)));
  wake_by(s.ask_at);
}

void Core::settle_with(Job& j, const CiJob& c) { settled(j, verdict(j.result, c)); }

void Core::settled(Job& j, JobResult result) {
  auto builder = j.builder;
  auto pool = j.spec.pool;
  end_job(j, std::move(result));
  forget_runner_of(builder, pool);
}

// Not before the builder has gone, for it could register again; nor before the CI said what became of its job, for
// with the registration it may forget that.
void Core::forget_runner_of(const BuilderId& id, const PoolName& pool) {
  if (builders_.contains(id) || minting_.contains(id)) return;
  for (const auto& [job, s] : settling_)
    if (jobs_.at(job).builder == id) return;
  auto known = at_ci_.extract(id);
  if (!known.empty()) return forget_registration(pool, std::move(known.mapped()));
  auto prefix = ci_prefix();
  auto* ci = ci_of(pool);
  if (prefix && ci) forget_registration(pool, {ci->ci, {runner_name(*prefix, id)}});  // else the sweep finds it
}

void Core::forget_registration(const PoolName& pool, AtCi what) {
  auto name = what.registration.name;
  auto [f, first] = forgetting_.try_emplace(name, Forgetting{pool, std::move(what), now(), 0, false});
  if (first) record("ci.forget", "runner/" + name, "{}");
}

void Core::attend_runners() {
  attend_late_agents();
  std::vector<JobId> late;
  for (auto& [id, s] : settling_) {
    if (now() >= s.give_up)
      late.push_back(id);
    else if (now() >= s.ask_at)
      ask_taken(jobs_.at(id));
    else
      wake_by(s.ask_at);
    wake_by(s.give_up);
  }
  for (JobId id : late) {
    auto& j = jobs_.at(id);
    settled(j, without_verdict(j.result, fmt::format("the CI did not say within {} how it ended",
                                                     format_duration(settle_patience))));
  }
  for (auto& [name, f] : forgetting_) {
    if (f.under_way) continue;
    if (now() < f.at) {
      wake_by(f.at);
      continue;
    }
    f.under_way = true;
    effect("ci.forget", [this, r = f.what.registration, port = f.what.ci] {
      executor_.ci(port, CiWork::act, [this, r, port]() -> std::function<void()> {
        auto done = std::make_shared<Result<void>>(port->forget(r, after(ask_limit)));
        return [this, r, done] { on_forgotten(r, *done); };
      });
    });
  }
}

void Core::on_forgotten(const CiRegistration& r, const Result<void>& done) {
  auto found = forgetting_.find(r.name);
  if (found == forgetting_.end()) return;
  auto& f = found->second;
  f.under_way = false;
  if (done) {
    record("ci.forgotten", "runner/" + r.name, "{}");
    forgetting_.erase(found);
    return;
  }
  f.at = now() + backoff(++f.failures);
  wake_by(f.at);
  if (f.failures == 1)
    record("ci.forget-failed", "runner/" + r.name, json::serialize(json::object{{"problem", done.error().text()}}));
  if (f.failures % 10 == 1) parts_.log.warning("registration {} cannot be removed: {}", r.name, done.error().text());
}

// Registrations with our name that no builder of ours has: of builders that went while no daemon was there.
void Core::sweep_ci(const PoolName& pool, CiRuntime& ci) {
  auto prefix = ci_prefix();
  if (!prefix) return wake_by(now() + seconds(1));
  ci.sweeping = true;
  effect("ci.sweep", [this, pool, prefix = *prefix, port = ci.ci] {
    executor_.ci(port, CiWork::act, [this, pool, prefix, port]() -> std::function<void()> {
      auto seen = std::make_shared<Result<std::vector<CiRegistration>>>(port->registrations(prefix, after(ask_limit)));
      return [this, pool, port, seen] { on_swept(pool, port, *seen); };
    });
  });
}

void Core::on_swept(const PoolName& pool, const std::shared_ptr<Ci>& by,
                    const Result<std::vector<CiRegistration>>& seen) {
  auto* ci = ci_of(pool);
  if (!ci || ci->ci != by) return;
  ci->sweeping = false;
  ++ci->sweeps;
  ci->sweep_at = now() + (seen && ci->sweeps > 2 ? sweep_again : sweep_soon);
  if (!seen) return tell_ci_problem(pool, *ci, seen.error().text());
  auto prefix = ci_prefix();
  if (!prefix) return;
  std::set<std::string> owned;
  for (const auto& [id, b] : builders_) owned.insert(runner_name(*prefix, id));
  for (const auto& id : minting_) owned.insert(runner_name(*prefix, id));
  for (const auto& [id, s] : settling_) owned.insert(jobs_.at(id).external.runner);
  for (const auto& r : *seen) {
    if (owned.contains(r.name) || forgetting_.contains(r.name)) continue;
    record("ci.ghost-found", "runner/" + r.name, json::serialize(json::object{{"busy", r.busy}}));
    forget_registration(pool, {by, r});
  }
}

}  // namespace mayfly
