#include "ci/github/queue.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "ci/github/labels.h"

namespace mayfly::github {
namespace {

constexpr auto shared_for = seconds(5);
constexpr auto repositories_for = std::chrono::minutes(10);
constexpr auto tell_ended = std::chrono::minutes(15);
constexpr auto keep_ended = std::chrono::hours(2);
constexpr auto keep_unseen = std::chrono::hours(48);  // GitHub cancels what waits for a day
constexpr std::size_t max_known = 50'000;
constexpr int max_repository_pages = 30, max_run_pages = 10, max_job_pages = 10;
constexpr int search_repositories = 20;

// A job goes only forward; a re-run has an id of its own.
int rank(const WorkflowJob& j) { return j.status == "completed" ? 2 : j.status == "in_progress" ? 1 : 0; }

bool too_late(const Error& e) { return e.code == ErrorCode::exhausted || e.code == ErrorCode::timeout; }

}  // namespace

Queue::Queue(std::shared_ptr<Api> api, Address address, std::vector<std::string> repositories, const Clock& clock)
    : api_(std::move(api)), address_(std::move(address)), only_(std::move(repositories)), clock_(clock) {}

void Queue::serve(std::vector<std::string> runner_labels) {
  std::lock_guard lock(mutex_);
  served_.push_back(std::move(runner_labels));
}

void Queue::note(const WorkflowJob& job, std::uint64_t number) {
  std::lock_guard lock(mutex_);
  auto known = jobs_.find(job.id);
  bool ours = known != jobs_.end() || std::any_of(served_.begin(), served_.end(),
                                                  [&](const auto& labels) { return serves(labels, job.labels); });
  if (!ours || (known == jobs_.end() && jobs_.size() >= max_known)) return;
  auto& k = jobs_[job.id];
  k.look = std::max(k.look, number);
  k.at = clock_.now();
  if (k.job.id != 0 && rank(job) < rank(k.job)) return;
  if (k.job.status != job.status) k.since = k.at;
  auto labels = std::move(k.job.labels);
  k.job = job;
  if (k.job.labels.empty()) k.job.labels = std::move(labels);
  if (!job.runner_name.empty()) by_runner_[to_lower(job.runner_name)] = job.id;
}

std::optional<WorkflowJob> Queue::heard(const WorkflowJob& job) {
  note(job, 0);
  std::lock_guard lock(mutex_);
  auto known = jobs_.find(job.id);
  return known == jobs_.end() ? std::nullopt : std::optional(known->second.job);
}

void Queue::forget_old() {
  std::lock_guard lock(mutex_);
  auto now = clock_.now();
  std::erase_if(jobs_, [&](const auto& entry) {
    return entry.second.at < now - (rank(entry.second.job) == 2 ? keep_ended : keep_unseen);
  });
  std::erase_if(by_runner_, [&](const auto& entry) { return !jobs_.contains(entry.second); });
}

std::vector<WorkflowJob> Queue::jobs(const std::vector<std::string>& runner_labels) const {
  std::lock_guard lock(mutex_);
  std::vector<WorkflowJob> out;
  auto long_since = clock_.now() - tell_ended;
  for (const auto& [id, k] : jobs_)
    if (serves(runner_labels, k.job.labels) && (rank(k.job) < 2 || k.since > long_since)) out.push_back(k.job);
  return out;
}

std::optional<WorkflowJob> Queue::known_by_runner(const std::string& runner) const {
  std::lock_guard lock(mutex_);
  auto found = by_runner_.find(to_lower(runner));
  return found == by_runner_.end() ? std::nullopt : std::optional(jobs_.at(found->second).job);
}

Result<std::vector<std::string>> Queue::repositories(Deadline deadline) {
  if (!address_.whole_organization()) return std::vector{address_.owner + "/" + address_.repository};
  if (!only_.empty()) return only_;
  if (!repositories_.empty() && clock_.now() < repositories_at_ + repositories_for) return repositories_;
  bool app = api_->credentials().app();
  Call call{.path = app ? "/installation/repositories?per_page=100"
                        : fmt::format("/orgs/{}/repos?per_page=100&sort=pushed", address_.owner),
            .conditional = true};
  std::vector<std::string> all;
  auto done = api_->pages(
      call, max_repository_pages,
      [&](const json::value& page) -> Result<bool> {
        MAYFLY_ASSIGN(auto some, repositories_from(page));
        // A name goes into paths; an installation may have repositories of other owners as well.
        for (auto& name : some) {
          auto slash = name.find('/');
          if (slash != std::string::npos && to_lower(name.substr(0, slash)) == to_lower(address_.owner) &&
              is_repository_name(name.substr(slash + 1)))
            all.push_back(std::move(name));
        }
        return true;
      },
      deadline);
  if (!done) return Unexpected(done.error());
  repositories_ = all;
  repositories_at_ = clock_.now();
  return all;
}

Result<bool> Queue::look_at_run(const std::string& repository, std::int64_t run, std::uint64_t number,
                                Deadline deadline) {
  Call call{.path = fmt::format("/repos/{}/actions/runs/{}/jobs?per_page=100", repository, run), .conditional = true};
  auto whole = api_->pages(
      call, max_job_pages,
      [&](const json::value& page) -> Result<bool> {
        MAYFLY_ASSIGN(auto some, jobs_from(page, repository));
        for (const auto& job : some) note(job, number);
        return true;
      },
      deadline);
  if (!whole && whole.error().code == ErrorCode::not_found) return true;  // deleted meanwhile
  return whole;
}

Result<bool> Queue::look_at(const std::string& repository, std::uint64_t number, Deadline deadline) {
  std::set<std::int64_t> runs;
  bool whole = true;
  for (const char* status : {"queued", "in_progress"}) {
    Call call{.path = fmt::format("/repos/{}/actions/runs?status={}&per_page=100", repository, status),
              .conditional = true};
    MAYFLY_ASSIGN(bool all, api_->pages(
                                call, max_run_pages,
                                [&](const json::value& page) -> Result<bool> {
                                  MAYFLY_ASSIGN(auto some, runs_from(page));
                                  for (const auto& run : some) runs.insert(run.id);
                                  return true;
                                },
                                deadline));
    whole &= all;
  }
  for (auto run : runs) {
    MAYFLY_ASSIGN(bool all, look_at_run(repository, run, number, deadline));
    whole &= all;
  }
  return whole;
}

Result<void> Queue::ask_after(const WorkflowJob& job, std::uint64_t number, Deadline deadline) {
  // Outside a look somebody waits for it: how a job ended must not drown in looks at a long queue.
  auto reply = api_->call({.path = fmt::format("/repos/{}/actions/jobs/{}", job.repository, job.id),
                           .urgency = number == 0 ? Urgency::urgent : Urgency::routine,
                           .conditional = true},
                          deadline);
  if (!reply && reply.error().code == ErrorCode::not_found) {
    std::lock_guard lock(mutex_);
    jobs_.erase(job.id);
    std::erase_if(by_runner_, [&](const auto& entry) { return entry.second == job.id; });
    return {};
  }
  if (!reply) return Unexpected(reply.error());
  auto now = job_from(reply->value, job.repository);
  if (!now || now->id != job.id)
    return fail(ErrorCode::unavailable, fmt::format("GitHub's answer is not job {}", job.id), address_.server);
  note(*now, number);
  return {};
}

// Jobs that should have been seen and were not: their run has ended, GitHub's list lags behind its webhook, or they
// were deleted.
Result<void> Queue::ask_after_unseen(std::uint64_t number, Deadline deadline) {
  std::vector<WorkflowJob> unseen;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, k] : jobs_)
      if (k.look != number && rank(k.job) < 2) unseen.push_back(k.job);
  }
  for (const auto& job : unseen) MAYFLY_TRY(ask_after(job, number, deadline));
  return {};
}

Result<Look> Queue::look(std::uint64_t seen, Deadline deadline) {
  std::unique_lock lock(looking_, std::defer_lock);
  if (!lock.try_lock_until(deadline))
    return fail(ErrorCode::timeout, "another pool's look at the queue took too long", address_.text());
  if (last_.number > seen && clock_.now() < last_.at + shared_for) return last_;
  MAYFLY_ASSIGN(auto all, repositories(deadline));
  Look now{last_.number + 1, true, clock_.now()};
  for (std::size_t i = 0; i < all.size(); ++i) {
    next_repository_ %= all.size();
    auto one = look_at(all[next_repository_], now.number, deadline);
    // A repository that is gone, or has Actions turned off, must not hide the others.
    bool skipped = !one && all.size() > 1 && (one.error().code == ErrorCode::not_found);
    if (!one && !skipped) {
      if (i == 0 || !too_late(one.error())) return Unexpected(one.error());
      now.whole = false;
      break;
    }
    now.whole &= skipped || *one;
    ++next_repository_;
  }
  if (now.whole) {
    auto asked = ask_after_unseen(now.number, deadline);
    if (!asked && !too_late(asked.error())) return Unexpected(asked.error());
    now.whole = asked.has_value();
  }
  forget_old();
  last_ = now;
  return now;
}

Result<void> Queue::search(const std::string& repository, const std::string& runner, Deadline deadline) {
  MAYFLY_ASSIGN(auto reply,
                api_->call({.path = fmt::format("/repos/{}/actions/runs?per_page=30", repository), .conditional = true},
                           deadline));
  MAYFLY_ASSIGN(auto runs, runs_from(reply.value));
  for (const auto& run : runs) {
    MAYFLY_TRY(look_at_run(repository, run.id, 0, deadline));
    if (known_by_runner(runner)) return {};
  }
  return {};
}

Result<std::optional<WorkflowJob>> Queue::taken_by(const std::string& runner, bool search_too, Deadline deadline) {
  auto job = known_by_runner(runner);
  if (job && rank(*job) < 2) {
    MAYFLY_TRY(ask_after(*job, 0, deadline));
    job = known_by_runner(runner);
  }
  if (job || !search_too) return job;
  std::vector<std::string> where;
  {
    std::unique_lock lock(looking_, std::defer_lock);
    if (!lock.try_lock_until(deadline))
      return fail(ErrorCode::timeout, "a look at the queue took too long", address_.text());
    MAYFLY_ASSIGN(where, repositories(deadline));
  }
  if (where.size() > search_repositories) where.resize(search_repositories);  // the most recently pushed to
  for (const auto& repository : where) {
    auto searched = search(repository, runner, deadline);
    if (!searched && searched.error().code != ErrorCode::not_found) return Unexpected(searched.error());
    if ((job = known_by_runner(runner))) return job;
  }
  return std::nullopt;
}

}  // namespace mayfly::github
