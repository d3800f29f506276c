#include "store/memory/memory_store.h"

#include <algorithm>

#include <fmt/format.h>

namespace mayfly {
namespace {

bool fits(const Job& job, const JobFilter& f) {
  return (!f.state || job.state == *f.state) && (!f.ended || is_final(job.state) == *f.ended) &&
         (f.pool.empty() || job.spec.pool == f.pool) &&
         (f.image_version.empty() || job.image_version == f.image_version);
}

}  // namespace

// Everything that can refuse a batch, before anything of it is done: that is what makes it all or nothing.
Result<void> MemoryStore::check(const Batch& batch) const {
  std::map<JobId, const Job*> changed;
  std::map<std::string, JobId> new_keys;
  for (const auto& job : batch.jobs) {
    changed[job.id] = &job;
    if (job.idempotency_key.empty()) continue;
    auto old = keys_.find(job.idempotency_key);
    auto [added, fresh] = new_keys.emplace(job.idempotency_key, job.id);
    if ((old != keys_.end() && old->second != job.id) || added->second != job.id)
      return fail(ErrorCode::conflict, fmt::format("another job has the idempotency key '{}'", job.idempotency_key),
                  fmt::format("job {}", job.id));
  }
  for (JobId id : batch.forget) {
    auto at = jobs_.find(id);
    const Job* job = changed.contains(id) ? changed[id] : at != jobs_.end() ? &at->second : nullptr;
    if (job && !is_final(job->state))
      return fail(ErrorCode::conflict, "it has not ended, so it cannot be forgotten", fmt::format("job {}", id));
  }
  return {};
}

void MemoryStore::put(const Job& job) {
  if (auto old = jobs_.find(job.id); old != jobs_.end()) keys_.erase(old->second.idempotency_key);
  if (!job.idempotency_key.empty()) keys_[job.idempotency_key] = job.id;
  jobs_.insert_or_assign(job.id, job);
  next_job_ = std::max(next_job_, job.id + 1);
}

void MemoryStore::forget(JobId id) {
  auto at = jobs_.find(id);
  if (at == jobs_.end()) return;
  Time ended = at->second.ended_at;
  std::erase_if(builders_, [&](const auto& entry) {
    const Builder& b = entry.second;
    return is_final(b.state) && (b.job == id || (b.job == 0 && b.gone_at < ended));
  });
  keys_.erase(at->second.idempotency_key);
  jobs_.erase(at);
}

Result<void> MemoryStore::commit(const Batch& batch) {
  if (batch.empty()) return {};
  std::scoped_lock lock(mutex_);
  if (failure_) return Unexpected(*failure_);
  MAYFLY_TRY(check(batch));
  for (const auto& job : batch.jobs) put(job);
  for (const auto& builder : batch.builders) {
    auto number = builder_number(builder.id);
    builders_.insert_or_assign({number, builder.id}, builder);
    next_builder_ = std::max(next_builder_, number + 1);
  }
  for (const auto& draft : batch.ledger) {
    LedgerEntry e{.seq = ledger_.size() + 1,
                  .at = draft.at,
                  .kind = draft.kind,
                  .subject = draft.subject,
                  .detail = draft.detail,
                  .previous = ledger_.empty() ? ledger_genesis : ledger_.back().hash,
                  .hash = {}};
    e.hash = ledger_hash(e);
    ledger_.push_back(std::move(e));
  }
  for (JobId id : batch.forget) forget(id);
  for (const auto& v : batch.versions) versions_.insert_or_assign({v.image, v.number}, v);
  for (const auto& p : batch.pools) pools_.insert_or_assign(p.pool, p);
  for (const auto& p : batch.publications) publications_.insert_or_assign({p.image, p.number, p.repository}, p);
  for (const auto& b : batch.image_builds) image_builds_.insert_or_assign(b.id, b);
  ++commits_;
  return {};
}

Result<StoreSnapshot> MemoryStore::load() {
  std::scoped_lock lock(mutex_);
  StoreSnapshot s{.jobs = {},
                  .builders = {},
                  .next_job = next_job_,
                  .next_builder = next_builder_,
                  .versions = {},
                  .pools = {},
                  .publications = {}};
  for (const auto& [id, job] : jobs_)
    if (!is_final(job.state)) s.jobs.push_back(job);
  for (const auto& [key, builder] : builders_)
    if (!is_final(builder.state)) s.builders.push_back(builder);
  for (const auto& [key, version] : versions_) s.versions.push_back(version);
  for (const auto& [name, pool] : pools_) s.pools.push_back(pool);
  for (const auto& [key, p] : publications_) s.publications.push_back(p);
  return s;
}

Result<std::optional<Job>> MemoryStore::job(JobId id) {
  std::scoped_lock lock(mutex_);
  auto at = jobs_.find(id);
  return at == jobs_.end() ? std::nullopt : std::optional(at->second);
}

Result<std::optional<JobId>> MemoryStore::job_with_key(const std::string& key) {
  std::scoped_lock lock(mutex_);
  auto at = keys_.find(key);
  return at == keys_.end() ? std::nullopt : std::optional(at->second);
}

Result<std::vector<Job>> MemoryStore::jobs(const JobFilter& filter) {
  std::scoped_lock lock(mutex_);
  std::vector<Job> found;
  auto end = filter.before == 0 ? jobs_.end() : jobs_.lower_bound(filter.before);
  for (auto at = std::make_reverse_iterator(end); at != jobs_.rend() && found.size() < filter.limit; ++at)
    if (fits(at->second, filter)) found.push_back(at->second);
  return found;
}

Result<std::optional<ImageBuild>> MemoryStore::image_build(BuildId id) {
  std::scoped_lock lock(mutex_);
  auto at = image_builds_.find(id);
  return at == image_builds_.end() ? std::nullopt : std::optional(at->second);
}

Result<std::vector<ImageBuild>> MemoryStore::image_builds(const std::string& image, std::size_t limit) {
  std::scoped_lock lock(mutex_);
  std::vector<ImageBuild> found;
  for (auto at = image_builds_.rbegin(); at != image_builds_.rend() && found.size() < limit; ++at)
    if (image.empty() || at->second.image == image) found.push_back(at->second);
  return found;
}

Result<std::vector<ImageBuild>> MemoryStore::active_image_builds() {
  std::scoped_lock lock(mutex_);
  std::vector<ImageBuild> found;
  for (const auto& [id, b] : image_builds_)
    if (!is_final(b.state)) found.push_back(b);
  return found;
}

Result<std::optional<Builder>> MemoryStore::builder(const BuilderId& id) {
  std::scoped_lock lock(mutex_);
  auto at = builders_.find({builder_number(id), id});
  return at == builders_.end() ? std::nullopt : std::optional(at->second);
}

Result<std::vector<Builder>> MemoryStore::builders(std::size_t limit) {
  std::scoped_lock lock(mutex_);
  std::vector<Builder> found;
  for (auto at = builders_.rbegin(); at != builders_.rend() && found.size() < limit; ++at) found.push_back(at->second);
  return found;
}

Result<std::vector<JobId>> MemoryStore::jobs_ended_before(Time t, std::size_t limit) {
  std::scoped_lock lock(mutex_);
  std::vector<std::pair<Time, JobId>> ended;
  for (const auto& [id, job] : jobs_)
    if (is_final(job.state) && job.ended_at < t) ended.emplace_back(job.ended_at, id);
  std::sort(ended.begin(), ended.end());
  std::vector<JobId> ids;
  for (const auto& [at, id] : ended)
    if (ids.size() < limit) ids.push_back(id);
  return ids;
}

Result<std::vector<LedgerEntry>> MemoryStore::ledger(std::uint64_t from_seq, std::size_t limit,
                                                     const std::string& subject) {
  std::scoped_lock lock(mutex_);
  std::vector<LedgerEntry> found;
  for (std::size_t i = from_seq == 0 ? 0 : from_seq - 1; i < ledger_.size() && found.size() < limit; ++i)
    if (subject.empty() || ledger_[i].subject == subject) found.push_back(ledger_[i]);
  return found;
}

Result<LedgerCheck> MemoryStore::verify_ledger() {
  std::scoped_lock lock(mutex_);
  const LedgerEntry* last = nullptr;
  for (const auto& e : ledger_) {
    MAYFLY_TRY(verify_link(last, e));
    last = &e;
  }
  return LedgerCheck{ledger_.size(), last ? last->hash : ledger_genesis};
}

void MemoryStore::fail_commits(std::optional<Error> error) {
  std::scoped_lock lock(mutex_);
  failure_ = std::move(error);
}

std::uint64_t MemoryStore::commits() const {
  std::scoped_lock lock(mutex_);
  return commits_;
}

}  // namespace mayfly
