#include <algorithm>

#include <fmt/format.h>

#include "store/sqlite/rows.h"
#include "store/sqlite/sqlite_store.h"

namespace mayfly {
namespace {

std::int64_t clamped(std::uint64_t n) { return static_cast<std::int64_t>(std::min<std::uint64_t>(n, INT64_MAX)); }

Result<std::vector<Job>> all_jobs(sqlite::Statement& q) {
  std::vector<Job> jobs;
  for (;;) {
    MAYFLY_ASSIGN(bool row, q.step());
    if (!row) return jobs;
    MAYFLY_ASSIGN(auto job, job_from_body(q.text_at(0)));
    jobs.push_back(std::move(job));
  }
}

Result<std::vector<Builder>> all_builders(sqlite::Statement& q) {
  std::vector<Builder> builders;
  for (;;) {
    MAYFLY_ASSIGN(bool row, q.step());
    if (!row) return builders;
    MAYFLY_ASSIGN(auto builder, builder_from_body(q.text_at(0)));
    builders.push_back(std::move(builder));
  }
}

template <class T>
Result<std::vector<T>> all_of(sqlite::Statement& q, Result<T> (*from)(const std::string&)) {
  std::vector<T> out;
  for (;;) {
    MAYFLY_ASSIGN(bool row, q.step());
    if (!row) return out;
    MAYFLY_ASSIGN(auto value, from(q.text_at(0)));
    out.push_back(std::move(value));
  }
}

template <class T>
Result<std::vector<T>> all_of(sqlite::Database& database, const char* sql, Result<T> (*from)(const std::string&)) {
  MAYFLY_ASSIGN(auto q, database.prepare(sql));
  return all_of(q, from);
}

// Few jobs have not ended and most have: the first question goes by the index, the second along the ids.
std::string jobs_query(const JobFilter& f) {
  std::string sql = "SELECT body FROM jobs WHERE id < ?";
  if (f.ended) sql += *f.ended ? " AND ended_at IS NOT NULL" : " AND state IN ('queued', 'assigned', 'running')";
  if (f.state) sql += " AND state = ?";
  if (!f.pool.empty()) sql += " AND pool = ?";
  if (!f.image_version.empty()) sql += " AND image_version = ?";
  return sql + " ORDER BY id DESC LIMIT ?";
}

}  // namespace

Result<StoreSnapshot> SqliteStore::load() {
  std::scoped_lock lock(mutex_);
  StoreSnapshot snapshot;
  MAYFLY_ASSIGN(auto jobs, database_->prepare(
                               "SELECT body FROM jobs WHERE state IN ('queued', 'assigned', 'running') ORDER BY id"));
  MAYFLY_ASSIGN(snapshot.jobs, all_jobs(jobs));
  MAYFLY_ASSIGN(auto builders,
                database_->prepare("SELECT body FROM builders WHERE over_at IS NULL ORDER BY number, id"));
  MAYFLY_ASSIGN(snapshot.builders, all_builders(builders));
  MAYFLY_ASSIGN(auto meta, read_meta(*database_));
  MAYFLY_ASSIGN(snapshot.versions, all_of(*database_, "SELECT body FROM versions", version_from_body));
  std::sort(snapshot.versions.begin(), snapshot.versions.end(),
            [](const auto& a, const auto& b) { return a.image != b.image ? a.image < b.image : a.number < b.number; });
  MAYFLY_ASSIGN(snapshot.pools, all_of(*database_, "SELECT body FROM pool_versions ORDER BY pool", pool_from_body));
  MAYFLY_ASSIGN(
      snapshot.publications,
      all_of(*database_, "SELECT body FROM publications ORDER BY image, number, repository", publication_from_body));
  snapshot.next_job = meta.next_job;
  snapshot.next_builder = meta.next_builder;
  return snapshot;
}

Result<std::optional<Job>> SqliteStore::job(JobId id) {
  std::scoped_lock lock(mutex_);
  MAYFLY_ASSIGN(auto q, database_->prepare("SELECT body FROM jobs WHERE id = ?"));
  MAYFLY_ASSIGN(auto found, all_jobs(q.integer(clamped(id))));
  return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
}

Result<std::optional<JobId>> SqliteStore::job_with_key(const std::string& key) {
  std::scoped_lock lock(mutex_);
  MAYFLY_ASSIGN(auto q, database_->prepare("SELECT id FROM jobs WHERE idempotency_key = ?"));
  MAYFLY_ASSIGN(bool row, q.text(key).step());
  return row ? std::optional(static_cast<JobId>(q.integer_at(0))) : std::nullopt;
}

Result<std::vector<Job>> SqliteStore::jobs(const JobFilter& filter) {
  std::scoped_lock lock(mutex_);
  MAYFLY_ASSIGN(auto q, database_->prepare(jobs_query(filter)));
  q.integer(filter.before == 0 ? INT64_MAX : clamped(filter.before));
  if (filter.state) q.text(to_string(*filter.state));
  if (!filter.pool.empty()) q.text(filter.pool);
  if (!filter.image_version.empty()) q.text(filter.image_version);
  return all_jobs(q.integer(clamped(filter.limit)));
}

Result<std::optional<ImageBuild>> SqliteStore::image_build(BuildId id) {
  std::scoped_lock lock(mutex_);
  MAYFLY_ASSIGN(auto q, database_->prepare("SELECT body FROM image_builds WHERE id = ?"));
  MAYFLY_ASSIGN(auto found, all_of(q.integer(clamped(id)), image_build_from_body));
  return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
}

Result<std::vector<ImageBuild>> SqliteStore::image_builds(const std::string& image, std::size_t limit) {
  std::scoped_lock lock(mutex_);
  if (image.empty()) {
    MAYFLY_ASSIGN(auto all, database_->prepare("SELECT body FROM image_builds ORDER BY id DESC LIMIT ?"));
    return all_of(all.integer(clamped(limit)), image_build_from_body);
  }
  MAYFLY_ASSIGN(auto q, database_->prepare("SELECT body FROM image_builds WHERE image = ? ORDER BY id DESC LIMIT ?"));
  return all_of(q.text(image).integer(clamped(limit)), image_build_from_body);
}

Result<std::vector<ImageBuild>> SqliteStore::active_image_builds() {
  std::scoped_lock lock(mutex_);
  return all_of(*database_, "SELECT body FROM image_builds WHERE ended = 0 ORDER BY id", image_build_from_body);
}

Result<std::optional<Builder>> SqliteStore::builder(const BuilderId& id) {
  std::scoped_lock lock(mutex_);
  MAYFLY_ASSIGN(auto q, database_->prepare("SELECT body FROM builders WHERE id = ?"));
  MAYFLY_ASSIGN(auto found, all_builders(q.text(id)));
  return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
}

Result<std::vector<Builder>> SqliteStore::builders(std::size_t limit) {
  std::scoped_lock lock(mutex_);
  MAYFLY_ASSIGN(auto q, database_->prepare("SELECT body FROM builders ORDER BY number DESC, id DESC LIMIT ?"));
  return all_builders(q.integer(clamped(limit)));
}

Result<std::vector<JobId>> SqliteStore::jobs_ended_before(Time t, std::size_t limit) {
  std::scoped_lock lock(mutex_);
  MAYFLY_ASSIGN(auto q,
                database_->prepare(
                    "SELECT id FROM jobs WHERE ended_at IS NOT NULL AND ended_at < ? ORDER BY ended_at, id LIMIT ?"));
  q.integer(to_micros(t)).integer(clamped(limit));
  std::vector<JobId> ids;
  for (;;) {
    MAYFLY_ASSIGN(bool row, q.step());
    if (!row) return ids;
    ids.push_back(static_cast<JobId>(q.integer_at(0)));
  }
}

Result<std::vector<LedgerEntry>> SqliteStore::ledger(std::uint64_t from_seq, std::size_t limit,
                                                     const std::string& subject) {
  std::scoped_lock lock(mutex_);
  std::string sql = "SELECT seq, at, kind, subject, detail, previous, hash FROM ledger WHERE seq >= ?";
  if (!subject.empty()) sql += " AND subject = ?";
  MAYFLY_ASSIGN(auto q, database_->prepare(sql + " ORDER BY seq LIMIT ?"));
  q.integer(clamped(from_seq));
  if (!subject.empty()) q.text(subject);
  q.integer(clamped(limit));
  std::vector<LedgerEntry> entries;
  for (;;) {
    MAYFLY_ASSIGN(bool row, q.step());
    if (!row) return entries;
    entries.push_back(ledger_row(q));
  }
}

Result<LedgerCheck> SqliteStore::verify_ledger() {
  MAYFLY_ASSIGN(auto view, sqlite::Database::open(database_->path(),
                                                  {.application_id = sqlite_application_id, .read_only = true}));
  MAYFLY_ASSIGN(auto transaction, sqlite::Transaction::begin_read(*view));  // ledger and head as of one moment
  MAYFLY_ASSIGN(auto meta, read_meta(*view));
  MAYFLY_ASSIGN(auto q,
                view->prepare("SELECT seq, at, kind, subject, detail, previous, hash FROM ledger ORDER BY seq"));
  LedgerEntry last{.seq = 0, .at = {}, .kind = {}, .subject = {}, .detail = {}, .previous = {}, .hash = ledger_genesis};
  for (;;) {
    MAYFLY_ASSIGN(bool row, q.step());
    if (!row) break;
    auto next = ledger_row(q);
    MAYFLY_TRY(verify_link(last.seq == 0 ? nullptr : &last, next));
    last = std::move(next);
  }
  if (last.seq < meta.ledger_seq)
    return fail(ErrorCode::invalid, fmt::format("entries {} to {} are missing", last.seq + 1, meta.ledger_seq),
                fmt::format("ledger entry {}", last.seq + 1));
  if (last.seq > meta.ledger_seq || last.hash != meta.ledger_hash)
    return fail(ErrorCode::invalid,
                fmt::format("the ledger ends otherwise than Mayfly left it, at entry {}", meta.ledger_seq),
                fmt::format("ledger entry {}", std::min(last.seq, meta.ledger_seq + 1)));
  return LedgerCheck{last.seq, last.hash};
}

}  // namespace mayfly
