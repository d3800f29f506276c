// What changes the database. What only reads it is in sqlite_store_read.cc.
#include "store/sqlite/sqlite_store.h"

#include <algorithm>

#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/text.h"
#include "model/json.h"
#include "store/sqlite/migrations.h"
#include "store/sqlite/rows.h"

namespace mayfly {
namespace {

std::int64_t signed_id(std::uint64_t id) {
  MAYFLY_CHECK(id <= INT64_MAX);
  return static_cast<std::int64_t>(id);
}

}  // namespace

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::string& path) {
  MAYFLY_ASSIGN(auto database, sqlite::Database::open(path, {.application_id = sqlite_application_id}));
  MAYFLY_TRY(migrate(*database, migrations()));
  std::unique_ptr<SqliteStore> store(new SqliteStore(std::move(database)));
  MAYFLY_ASSIGN(store->meta_, read_meta(*store->database_));
  return store;
}

Result<SqliteStore::Meta> SqliteStore::read_meta(sqlite::Database& database) {
  MAYFLY_ASSIGN(auto q, database.prepare("SELECT next_job, next_builder, ledger_seq, ledger_hash FROM meta"));
  MAYFLY_ASSIGN(bool row, q.step());
  if (!row)
    return fail(ErrorCode::internal, "the row of table meta is missing", database.path(),
                "The database was changed from outside: restore it from a backup.");
  Meta meta;
  meta.next_job = static_cast<JobId>(q.integer_at(0));
  meta.next_builder = static_cast<std::uint64_t>(q.integer_at(1));
  meta.ledger_seq = static_cast<std::uint64_t>(q.integer_at(2));
  meta.ledger_hash = to_hex(q.text_at(3));
  return meta;
}

Result<void> SqliteStore::commit(const Batch& batch) {
  if (batch.empty()) return {};
  std::scoped_lock lock(mutex_);
  if (!meta_) {
    MAYFLY_ASSIGN(meta_, read_meta(*database_));
  }
  Meta meta = *meta_;
  auto written = write(batch, meta);
  // A failed COMMIT leaves open what the file holds: ask it again rather than chain to a head that may not be there.
  if (written)
    meta_ = std::move(meta);
  else
    meta_.reset();
  return written;
}

Result<void> SqliteStore::write(const Batch& batch, Meta& meta) {
  MAYFLY_ASSIGN(auto transaction, sqlite::Transaction::begin(*database_));
  for (const auto& job : batch.jobs) MAYFLY_TRY(put(job, meta));
  for (const auto& builder : batch.builders) MAYFLY_TRY(put(builder, meta));
  if (!batch.ledger.empty()) {
    // Entries that somebody smuggled in behind the head must not stop the daemon; verify_ledger() finds them.
    MAYFLY_ASSIGN(auto last, database_->integer("SELECT max(seq) FROM ledger"));
    meta.ledger_seq = std::max(meta.ledger_seq, static_cast<std::uint64_t>(last));
  }
  for (const auto& draft : batch.ledger) MAYFLY_TRY(append(draft, meta));
  for (JobId id : batch.forget) MAYFLY_TRY(forget(id));
  for (const auto& version : batch.versions) MAYFLY_TRY(put(version));
  for (const auto& pool : batch.pools) MAYFLY_TRY(put(pool));
  for (const auto& publication : batch.publications) MAYFLY_TRY(put(publication));
  for (const auto& build : batch.image_builds) MAYFLY_TRY(put(build));
  MAYFLY_TRY(put(meta));
  return transaction.commit();
}

Result<void> SqliteStore::put(const Job& job, Meta& meta) {
  MAYFLY_ASSIGN(auto q,
                database_->prepare(
                    "INSERT INTO jobs (id, pool, state, submitter, priority, queued_at, ended_at, idempotency_key, "
                    "image_version, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (id) DO UPDATE "
                    "SET pool = ?2, state = ?3, submitter = ?4, priority = ?5, queued_at = ?6, ended_at = ?7, "
                    "idempotency_key = ?8, image_version = ?9, body = ?10"));
  q.integer(signed_id(job.id)).text(job.spec.pool).text(to_string(job.state)).text(job.spec.submitter);
  q.integer(job.spec.priority).integer(to_micros(job.queued_at));
  is_final(job.state) ? q.integer(to_micros(job.ended_at)) : q.null();
  job.idempotency_key.empty() ? q.null() : q.text(job.idempotency_key);
  job.image_version.empty() ? q.null() : q.text(job.image_version);
  auto done = q.text(job_body(job)).run();
  if (!done && done.error().code == ErrorCode::conflict)
    return fail(ErrorCode::conflict, fmt::format("another job has the idempotency key '{}'", job.idempotency_key),
                fmt::format("job {}", job.id));
  MAYFLY_TRY(std::move(done));
  meta.next_job = std::max(meta.next_job, job.id + 1);
  return {};
}

Result<void> SqliteStore::put(const Builder& b, Meta& meta) {
  MAYFLY_ASSIGN(
      auto q,
      database_->prepare(
          "INSERT INTO builders (id, number, pool, state, job, over_at, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) "
          "ON CONFLICT (id) DO UPDATE SET number = ?2, pool = ?3, state = ?4, job = ?5, over_at = ?6, body = ?7"));
  auto number = builder_number(b.id);
  q.text(b.id).integer(signed_id(number)).text(b.pool).text(to_string(b.state)).integer(signed_id(b.job));
  is_final(b.state) ? q.integer(to_micros(b.gone_at)) : q.null();
  MAYFLY_TRY(q.text(builder_body(b)).run());
  meta.next_builder = std::max(meta.next_builder, number + 1);
  return {};
}

Result<void> SqliteStore::put(const ImageVersion& v) {
  MAYFLY_ASSIGN(auto q, database_->prepare("INSERT OR REPLACE INTO versions (image, number, body) VALUES (?, ?, ?)"));
  return q.text(v.image).text(v.number.text()).text(boost::json::serialize(to_json(v))).run();
}

Result<void> SqliteStore::put(const PoolVersions& p) {
  MAYFLY_ASSIGN(auto q, database_->prepare("INSERT OR REPLACE INTO pool_versions (pool, body) VALUES (?, ?)"));
  return q.text(p.pool).text(boost::json::serialize(to_json(p))).run();
}

Result<void> SqliteStore::put(const Publication& p) {
  MAYFLY_ASSIGN(
      auto q,
      database_->prepare("INSERT OR REPLACE INTO publications (image, number, repository, body) VALUES (?, ?, ?, ?)"));
  return q.text(p.image).text(p.number.text()).text(p.repository).text(boost::json::serialize(to_json(p))).run();
}

Result<void> SqliteStore::put(const ImageBuild& build) {
  MAYFLY_ASSIGN(auto q,
                database_->prepare("INSERT OR REPLACE INTO image_builds (id, image, ended, body) VALUES (?, ?, ?, ?)"));
  q.integer(signed_id(build.id)).text(build.image).integer(is_final(build.state));
  return q.text(boost::json::serialize(to_json(build))).run();
}

Result<void> SqliteStore::append(const LedgerDraft& draft, Meta& meta) {
  LedgerEntry e{.seq = meta.ledger_seq + 1,
                .at = draft.at,
                .kind = draft.kind,
                .subject = draft.subject,
                .detail = draft.detail,
                .previous = meta.ledger_hash,
                .hash = {}};
  e.hash = ledger_hash(e);
  MAYFLY_ASSIGN(
      auto q, database_->prepare(
                  "INSERT INTO ledger (seq, at, kind, subject, detail, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?)"));
  MAYFLY_TRY(q.integer(signed_id(e.seq))
                 .integer(to_micros(e.at))
                 .text(e.kind)
                 .text(e.subject)
                 .text(e.detail)
                 .blob(hash_bytes(e.previous))
                 .blob(hash_bytes(e.hash))
                 .run());
  meta.ledger_seq = e.seq;
  meta.ledger_hash = e.hash;
  return {};
}

Result<void> SqliteStore::forget(JobId id) {
  MAYFLY_ASSIGN(auto q, database_->prepare("SELECT ended_at FROM jobs WHERE id = ?"));
  MAYFLY_ASSIGN(bool row, q.integer(signed_id(id)).step());
  if (!row) return {};
  if (q.null_at(0))
    return fail(ErrorCode::conflict, "it has not ended, so it cannot be forgotten", fmt::format("job {}", id));
  MAYFLY_ASSIGN(auto theirs,
                database_->prepare("DELETE FROM builders WHERE job = ? AND job <> 0 AND over_at IS NOT NULL"));
  MAYFLY_TRY(theirs.integer(signed_id(id)).run());
  MAYFLY_ASSIGN(auto idle,
                database_->prepare("DELETE FROM builders WHERE job = 0 AND over_at IS NOT NULL AND over_at < ?"));
  MAYFLY_TRY(idle.integer(q.integer_at(0)).run());
  MAYFLY_ASSIGN(auto the_job, database_->prepare("DELETE FROM jobs WHERE id = ?"));
  return the_job.integer(signed_id(id)).run();
}

Result<void> SqliteStore::put(const Meta& meta) {
  MAYFLY_ASSIGN(auto q,
                database_->prepare("UPDATE meta SET next_job = ?, next_builder = ?, ledger_seq = ?, ledger_hash = ?"));
  return q.integer(signed_id(meta.next_job))
      .integer(signed_id(meta.next_builder))
      .integer(signed_id(meta.ledger_seq))
      .blob(hash_bytes(meta.ledger_hash))
      .run();
}

}  // namespace mayfly
