#include "store/sqlite/migrations.h"

#include <array>

#include <fmt/format.h>

namespace mayfly {
namespace {

// jobs and builders keep their whole value in `body` (model/json.h); the other columns are copies to search by.
// ledger: no row is changed, removed or written over. The triggers stop mistakes; tampering is what the hashes find.
// meta: one row. The ledger's head is kept in it too, so that a ledger cut off at its end is found.
constexpr const char* first = R"sql(
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY,
  pool TEXT NOT NULL,
  state TEXT NOT NULL,
  submitter TEXT NOT NULL,
  priority INTEGER NOT NULL,
  queued_at INTEGER NOT NULL,
  ended_at INTEGER,            -- NULL: not ended
  idempotency_key TEXT,        -- NULL: none
  body TEXT NOT NULL
);
CREATE INDEX jobs_by_state ON jobs (state);
CREATE INDEX jobs_by_pool ON jobs (pool);
CREATE INDEX jobs_by_end ON jobs (ended_at) WHERE ended_at IS NOT NULL;
CREATE UNIQUE INDEX jobs_by_key ON jobs (idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE builders (
  id TEXT NOT NULL PRIMARY KEY,
  number INTEGER NOT NULL,     -- the one in its id
  pool TEXT NOT NULL,
  state TEXT NOT NULL,
  job INTEGER NOT NULL,        -- 0: none
  over_at INTEGER,             -- NULL: neither gone nor lost
  body TEXT NOT NULL
);
CREATE INDEX builders_by_number ON builders (number);
CREATE INDEX builders_alive ON builders (number) WHERE over_at IS NULL;
CREATE INDEX builders_by_job ON builders (job) WHERE job <> 0;
CREATE INDEX builders_idle_over ON builders (over_at) WHERE job = 0 AND over_at IS NOT NULL;

CREATE TABLE ledger (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  detail TEXT NOT NULL,
  previous BLOB NOT NULL,
  hash BLOB NOT NULL
);
CREATE INDEX ledger_by_subject ON ledger (subject);
CREATE TRIGGER ledger_no_change BEFORE UPDATE ON ledger
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_no_removal BEFORE DELETE ON ledger
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_no_replacement BEFORE INSERT ON ledger WHEN NEW.seq <= (SELECT max(seq) FROM ledger)
  BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;

CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  next_job INTEGER NOT NULL,
  next_builder INTEGER NOT NULL,
  ledger_seq INTEGER NOT NULL,
  ledger_hash BLOB NOT NULL
);
INSERT INTO meta VALUES (1, 1, 1, 0, zeroblob(32));
)sql";

// versions and pool_versions keep their whole value in `body` too. A version's order is for the program to know.
constexpr const char* versions = R"sql(
CREATE TABLE versions (
  image TEXT NOT NULL,
  number TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (image, number)
) WITHOUT ROWID;
CREATE TABLE pool_versions (
  pool TEXT NOT NULL PRIMARY KEY,
  body TEXT NOT NULL
) WITHOUT ROWID;
ALTER TABLE jobs ADD COLUMN image_version TEXT;  -- NULL: none
CREATE INDEX jobs_by_version ON jobs (image_version) WHERE image_version IS NOT NULL;
)sql";

constexpr const char* publications = R"sql(
CREATE TABLE publications (
  image TEXT NOT NULL,
  number TEXT NOT NULL,
  repository TEXT NOT NULL,
  body TEXT NOT NULL,
  PRIMARY KEY (image, number, repository)
) WITHOUT ROWID;
)sql";

constexpr const char* builds = R"sql(
CREATE TABLE image_builds (
  id INTEGER PRIMARY KEY,
  image TEXT NOT NULL,
  ended INTEGER NOT NULL,      -- 0: it has not
  body TEXT NOT NULL
);
CREATE INDEX image_builds_by_image ON image_builds (image, id);
CREATE INDEX image_builds_under_way ON image_builds (id) WHERE ended = 0;
)sql";

constexpr std::array<Migration, 4> all{{{1, "first", first},
                                        {2, "versions of images", versions},
                                        {3, "publications", publications},
                                        {4, "builds of images", builds}}};

Result<void> apply(sqlite::Database& database, const Migration& step) {
  MAYFLY_ASSIGN(auto transaction, sqlite::Transaction::begin(database));
  MAYFLY_TRY(database.execute(step.sql));
  MAYFLY_ASSIGN(auto note,
                database.prepare("INSERT INTO schema_version (number, name, applied_at) VALUES (?, ?, unixepoch())"));
  MAYFLY_TRY(note.integer(step.number).text(step.name).run());
  return transaction.commit();
}

}  // namespace

std::span<const Migration> migrations() { return all; }

Result<void> migrate(sqlite::Database& database, std::span<const Migration> steps) {
  MAYFLY_TRY(
      database.execute("CREATE TABLE IF NOT EXISTS schema_version "
                       "(number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)"));
  MAYFLY_ASSIGN(auto version, database.integer("SELECT max(number) FROM schema_version"));
  int known = steps.empty() ? 0 : steps.back().number;
  if (version > known)
    return fail(ErrorCode::unsupported,
                fmt::format("the database has version {}, and this program knows up to {}", version, known),
                database.path(), "Start the newer mayfly that wrote it, or another state directory.");
  for (const auto& step : steps) {
    if (step.number <= version) continue;
    auto done = apply(database, step);
    if (done) continue;
    Error e = std::move(done).error();
    e.what = fmt::format("step {} ({}) of bringing the database up to date failed, and was undone: {}", step.number,
                         step.name, e.what);
    return Unexpected(std::move(e));
  }
  return {};
}

}  // namespace mayfly
