#include "ci/fake/fake_ci_world.h"

#include <algorithm>

#include <fmt/format.h>

namespace mayfly {

namespace {
constexpr Duration throttled_for = seconds(7);
auto find_job(auto& jobs, const std::string& id) {
  return std::find_if(jobs.begin(), jobs.end(), [&](const CiJob& j) { return j.id == id; });
}
}  // namespace

void FakeCiWorld::set_fault(FakeCiFault fault, int calls) {
  std::scoped_lock lock(mutex_);
  fault_ = fault;
  fault_calls_ = calls;
}

FakeCiFault FakeCiWorld::fault() {
  if (fault_calls_ <= 0) return FakeCiFault::none;
  --fault_calls_;
  return fault_;
}

void FakeCiWorld::break_mint_with(FakeCiFault fault, int calls) {
  std::scoped_lock lock(mutex_);
  mint_fault_ = fault;
  mint_fault_calls_ = calls;
}

FakeCiFault FakeCiWorld::fault_of_mint() {
  if (mint_fault_calls_ <= 0) return fault();
  --mint_fault_calls_;
  return mint_fault_;
}

Error FakeCiWorld::error_of(FakeCiFault fault) {
  if (fault == FakeCiFault::denied)
    return {ErrorCode::denied, "the token may not manage runners", "fake", "Grant it the right."};
  return {ErrorCode::unavailable, "the CI does not answer", "fake", {}};
}

void FakeCiWorld::queue(CiJob job) {
  std::scoped_lock lock(mutex_);
  job.phase = CiPhase::pending;
  jobs_.push_back(std::move(job));
}

bool FakeCiWorld::give(Registered& r, const std::string& runner, CiJob& job) {
  if (job.phase != CiPhase::pending || !r.jobs.empty()) return false;
  job.phase = CiPhase::running;
  job.runner = runner;
  r.jobs.push_back(job.id);
  most_ = std::max(most_, r.jobs.size());
  history_[runner] = job.id;
  return true;
}

bool FakeCiWorld::take(const std::string& runner, const std::string& id) {
  std::scoped_lock lock(mutex_);
  auto r = registered_.find(runner);
  auto j = find_job(jobs_, id);
  return r != registered_.end() && j != jobs_.end() && give(r->second, runner, *j);
}

std::string FakeCiWorld::take_any(const std::string& runner) {
  std::scoped_lock lock(mutex_);
  auto r = registered_.find(runner);
  if (r == registered_.end()) return {};
  for (auto& j : jobs_)
    if (give(r->second, runner, j)) return j.id;
  return {};
}

void FakeCiWorld::end(const std::string& id, CiOutcome outcome, Time at) {
  std::scoped_lock lock(mutex_);
  auto j = find_job(jobs_, id);
  if (j == jobs_.end()) return;
  j->phase = CiPhase::ended;
  j->outcome = outcome;
  j->result = outcome == CiOutcome::succeeded ? "success" : outcome == CiOutcome::failed ? "failure" : "other";
  j->ended_at = at;
}

void FakeCiWorld::vanish(const std::string& id) {
  std::scoped_lock lock(mutex_);
  if (auto j = find_job(jobs_, id); j != jobs_.end()) jobs_.erase(j);
}

void FakeCiWorld::hide_rest_after(std::size_t jobs) {
  std::scoped_lock lock(mutex_);
  shown_ = jobs;
}

void FakeCiWorld::say_offline(bool offline) {
  std::scoped_lock lock(mutex_);
  offline_ = offline;
}

std::optional<CiJob> FakeCiWorld::job(const std::string& id) const {
  std::scoped_lock lock(mutex_);
  auto j = find_job(jobs_, id);
  return j == jobs_.end() ? std::nullopt : std::optional(*j);
}

std::vector<CiRegistration> FakeCiWorld::registrations() const {
  std::scoped_lock lock(mutex_);
  std::vector<CiRegistration> out;
  for (const auto& [name, r] : registered_) out.push_back({name, r.id, false});
  return out;
}

std::size_t FakeCiWorld::most_jobs_of_a_registration() const {
  std::scoped_lock lock(mutex_);
  return most_;
}

std::size_t FakeCiWorld::registered() const {
  std::scoped_lock lock(mutex_);
  return next_ - 1;
}

std::vector<std::string> FakeCiWorld::cancelled() const {
  std::scoped_lock lock(mutex_);
  return cancelled_;
}

Result<CiSight> FakeCiWorld::observe() {
  std::scoped_lock lock(mutex_);
  CiSight sight;
  auto f = fault();
  if (f == FakeCiFault::throttled) {
    sight.whole = false;
    sight.throttled = true;
    sight.again = throttled_for;
    return sight;
  }
  if (f != FakeCiFault::none) return Unexpected(error_of(f));
  for (const auto& j : jobs_) {
    if (shown_ && sight.jobs.size() >= *shown_) {
      sight.whole = false;
      break;
    }
    sight.jobs.push_back(j);
  }
  return sight;
}

Result<CiCredential> FakeCiWorld::mint(const std::string& name, const CiJob&) {
  std::scoped_lock lock(mutex_);
  auto f = fault_of_mint();
  if (f != FakeCiFault::none && f != FakeCiFault::reply_lost) return Unexpected(error_of(f));
  if (registered_.contains(name)) return fail(ErrorCode::conflict, "there is a runner of this name", name);
  auto id = std::to_string(next_++);
  registered_[name] = {id, {}};
  if (f == FakeCiFault::reply_lost) return Unexpected(error_of(f));
  return CiCredential{{name, id, false}, {{"FAKE_CI_CREDENTIAL", "credential-of-" + name}}, "registered"};
}

Result<std::optional<CiJob>> FakeCiWorld::taken(const std::string& name) {
  std::scoped_lock lock(mutex_);
  if (auto f = fault(); f != FakeCiFault::none) return Unexpected(error_of(f));
  auto h = history_.find(name);
  if (h == history_.end()) return std::optional<CiJob>();
  auto j = find_job(jobs_, h->second);
  return j == jobs_.end() ? std::optional<CiJob>() : std::optional(*j);
}

Result<void> FakeCiWorld::forget(const std::string& name) {
  std::scoped_lock lock(mutex_);
  auto f = fault();
  if (f != FakeCiFault::none && f != FakeCiFault::reply_lost) return Unexpected(error_of(f));
  registered_.erase(name);
  if (f == FakeCiFault::reply_lost) return Unexpected(error_of(f));
  return {};
}

Result<std::vector<CiRegistration>> FakeCiWorld::list(const std::string& prefix) {
  std::scoped_lock lock(mutex_);
  if (auto f = fault(); f != FakeCiFault::none) return Unexpected(error_of(f));
  std::vector<CiRegistration> out;
  for (const auto& [name, r] : registered_) {
    if (!name.starts_with(prefix)) continue;
    auto j = r.jobs.empty() ? jobs_.end() : find_job(jobs_, r.jobs.back());
    out.push_back({name, r.id, j != jobs_.end() && j->phase == CiPhase::running, !offline_});
  }
  return out;
}

Result<void> FakeCiWorld::cancel(const std::string& id) {
  std::scoped_lock lock(mutex_);
  if (auto f = fault(); f != FakeCiFault::none) return Unexpected(error_of(f));
  auto j = find_job(jobs_, id);
  if (j == jobs_.end() || j->phase == CiPhase::ended) return fail(ErrorCode::not_found, "it is over", id);
  j->phase = CiPhase::ended;
  j->outcome = CiOutcome::cancelled;
  j->result = "cancelled";
  cancelled_.push_back(id);
  return {};
}

}  // namespace mayfly
