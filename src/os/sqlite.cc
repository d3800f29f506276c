#include "os/sqlite.h"

#include <cerrno>
#include <climits>
#include <cstring>

#include <fcntl.h>
#include <sqlite3.h>
#include <unistd.h>

#include <fmt/format.h>

namespace mayfly::sqlite {
namespace {

bool is_disk_full(int code, int system_errno) {
  if ((code & 0xff) == SQLITE_FULL || code == SQLITE_IOERR_SHMSIZE) return true;
  return (code & 0xff) == SQLITE_IOERR && (system_errno == ENOSPC || system_errno == EDQUOT);
}

// SQLite would make a file that others may read; jobs' scripts and environments are nobody else's business. The -wal
// and -shm files take the mode of the file.
Result<void> create_private(const std::string& path) {
  int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Unexpected(errno_error("cannot open the database", errno, path));
  ::close(fd);
  return {};
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      next_(other.next_),
      bind_error_(other.bind_error_) {}

Statement::~Statement() {
  if (!statement_) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Statement& Statement::integer(std::int64_t value) {
  if (int rc = sqlite3_bind_int64(statement_, next_++, value); rc != SQLITE_OK) bind_error_ = rc;
  return *this;
}

Statement& Statement::text(std::string_view value) {
  // A null pointer would bind NULL: an empty string_view may have one.
  const char* data = value.data() ? value.data() : "";
  int rc = sqlite3_bind_text64(statement_, next_++, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  if (rc != SQLITE_OK) bind_error_ = rc;
  return *this;
}

Statement& Statement::blob(std::string_view value) {
  const char* data = value.data() ? value.data() : "";
  if (int rc = sqlite3_bind_blob64(statement_, next_++, data, value.size(), SQLITE_TRANSIENT); rc != SQLITE_OK)
    bind_error_ = rc;
  return *this;
}

Statement& Statement::null() {
  if (int rc = sqlite3_bind_null(statement_, next_++); rc != SQLITE_OK) bind_error_ = rc;
  return *this;
}

Result<bool> Statement::step() {
  if (bind_error_ != 0) return Unexpected(database_->error(bind_error_, sqlite3_sql(statement_)));
  int rc = sqlite3_step(statement_);
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) return false;
  return Unexpected(database_->error(sqlite3_extended_errcode(database_->handle_), sqlite3_sql(statement_)));
}

Result<void> Statement::run() {
  for (;;) {
    MAYFLY_ASSIGN(bool row, step());
    if (!row) return {};
  }
}

std::int64_t Statement::integer_at(int column) const { return sqlite3_column_int64(statement_, column); }

std::string Statement::text_at(int column) const {
  // blob first: for a text column it gives the bytes as they are, and the size asked afterwards belongs to them.
  const void* data = sqlite3_column_blob(statement_, column);
  auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return data ? std::string(static_cast<const char*>(data), size) : std::string();
}

bool Statement::null_at(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

Result<std::unique_ptr<Database>> Database::open(const std::string& path, const OpenOptions& options) {
  if (!options.read_only) MAYFLY_TRY(create_private(path));
  int flags = (options.read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE) | SQLITE_OPEN_NOMUTEX |
              SQLITE_OPEN_PRIVATECACHE;
  sqlite3* handle = nullptr;
  int rc = sqlite3_open_v2(path.c_str(), &handle, flags, nullptr);
  std::unique_ptr<Database> database(new Database(path, handle));  // closes it whatever comes
  if (rc != SQLITE_OK) return Unexpected(database->error(rc, "open"));
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, options.busy_timeout_ms);
  MAYFLY_TRY(database->check_owner(options));
  MAYFLY_TRY(database->configure(options));
  return database;
}

Database::~Database() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

// Before anything is written: somebody else's database must not be turned into ours.
Result<void> Database::check_owner(const OpenOptions& options) {
  MAYFLY_ASSIGN(auto id, integer("PRAGMA application_id"));
  if (id == options.application_id) return {};
  MAYFLY_ASSIGN(auto things, integer("SELECT count(*) FROM sqlite_master"));
  if (id == 0 && things == 0 && !options.read_only)
    return execute(fmt::format("PRAGMA application_id = {}", options.application_id));
  return fail(ErrorCode::conflict, "this is another program's database", path_,
              "Choose another state directory, or move the file away.");
}

Result<void> Database::configure(const OpenOptions& options) {
  MAYFLY_TRY(execute("PRAGMA foreign_keys = ON; PRAGMA recursive_triggers = ON; PRAGMA trusted_schema = OFF;"));
  if (options.read_only) return {};
  // NORMAL would lose the last commits at a power cut: what was answered must be there.
  MAYFLY_TRY(execute("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;"));
  MAYFLY_ASSIGN(auto mode, prepare("PRAGMA journal_mode = WAL"));
  MAYFLY_ASSIGN(bool row, mode.step());
  if (!row || mode.text_at(0) != "wal")
    return fail(ErrorCode::unsupported, "SQLite cannot use its write-ahead log here", path_,
                "Put the state directory on a local filesystem that allows shared memory maps.");
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  auto at = statements_.find(sql);
  if (at == statements_.end()) {
    MAYFLY_CHECK(sql.size() < INT_MAX);
    sqlite3_stmt* statement = nullptr;
    int rc = sqlite3_prepare_v3(handle_, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                &statement, nullptr);
    if (rc != SQLITE_OK) return Unexpected(error(rc, sql));
    at = statements_.emplace(std::string(sql), statement).first;
  }
  MAYFLY_CHECK(!sqlite3_stmt_busy(at->second));  // lent out already: its rows would be cut off
  return Statement(*this, at->second);
}

Result<void> Database::execute(const std::string& sql) {
  int rc = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) return Unexpected(error(sqlite3_extended_errcode(handle_), sql));
  return {};
}

Result<std::int64_t> Database::integer(std::string_view sql) {
  MAYFLY_ASSIGN(auto statement, prepare(sql));
  MAYFLY_ASSIGN(bool row, statement.step());
  return row ? statement.integer_at(0) : 0;
}

std::int64_t Database::changes() const { return sqlite3_changes64(handle_); }
bool Database::in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }

Error Database::error(int code, std::string_view doing) const {
  int system = sqlite3_system_errno(handle_);
  if (is_disk_full(code, system))
    return {ErrorCode::exhausted, "the disk is full", path_,
            "Free space on the filesystem of the state directory; nothing was half-written."};
  std::string_view message = handle_ ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
  auto what = fmt::format("{} (SQLite code {})", message, code);
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return {ErrorCode::internal, fmt::format("the database is damaged: {}", what), path_,
              "Stop the daemon and keep a copy of the file with its -wal. Restore it from a backup, rescue it with "
              "`sqlite3 FILE .recover | sqlite3 NEW`, or start with an empty state directory."};
    case SQLITE_IOERR:
      return {ErrorCode::unavailable,
              fmt::format("reading or writing the database failed: {}{}{}", what, system ? ": " : "",
                          system ? std::strerror(system) : ""),
              path_, "Check the disk under the state directory (dmesg tells)."};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorCode::unavailable, "another process holds the database", path_,
              "End what else has the file open, such as an sqlite3 shell."};
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return {ErrorCode::denied, what, path_, "The user that runs the daemon must own the state directory."};
    case SQLITE_CONSTRAINT:
      return {ErrorCode::conflict, what, path_, {}};
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
      return {ErrorCode::exhausted, what, path_, {}};
    default:
      return {ErrorCode::internal, fmt::format("{} at: {}", what, doing), path_, {}};
  }
}

Result<Transaction> Transaction::begin(Database& database) {
  MAYFLY_ASSIGN(auto statement, database.prepare("BEGIN IMMEDIATE"));
  MAYFLY_TRY(statement.run());
  return Transaction(database);
}

Result<Transaction> Transaction::begin_read(Database& database) {
  MAYFLY_ASSIGN(auto statement, database.prepare("BEGIN"));
  MAYFLY_TRY(statement.run());
  return Transaction(database);
}

Result<void> Transaction::commit() {
  MAYFLY_ASSIGN(auto statement, database_->prepare("COMMIT"));
  MAYFLY_TRY(statement.run());
  database_ = nullptr;
  return {};
}

Transaction::~Transaction() {
  // After some failures (a full disk, an I/O error) SQLite has rolled back already.
  if (!database_ || !database_->in_transaction()) return;
  if (auto statement = database_->prepare("ROLLBACK")) (void)statement->run();
}

}  // namespace mayfly::sqlite
