#include "os/foreign_sqlite.h"

#include <sqlite3.h>

#include <memory>

namespace mayfly::sqlite {

Result<std::vector<std::string>> read_foreign(const std::string& path, const std::string& query,
                                              const ForeignLimits& limits) {
  sqlite3* handle = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  const std::unique_ptr<sqlite3, int (*)(sqlite3*)> db(handle, sqlite3_close);
  auto wrong = [&](const std::string& what) {
    return fail(ErrorCode::invalid, "it is not a database that can be read: " + what, path);
  };
  if (opened != SQLITE_OK) return wrong(handle ? sqlite3_errmsg(handle) : "no memory");
  // Nothing in the file may call functions, write, or be believed to be well-formed.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, nullptr);
  sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, static_cast<int>(limits.bytes_a_row));
  int left = limits.steps;
  sqlite3_progress_handler(handle, 1000, [](void* n) { return --*static_cast<int*>(n) < 0 ? 1 : 0; }, &left);
  // One process alone: the index of a -wal is then kept in memory, not in a file.
  if (sqlite3_exec(handle, "PRAGMA cell_size_check = ON; PRAGMA locking_mode = EXCLUSIVE", nullptr, nullptr, nullptr) !=
      SQLITE_OK)
    return wrong(sqlite3_errmsg(handle));
  sqlite3_stmt* prepared = nullptr;
  if (sqlite3_prepare_v2(handle, query.c_str(), -1, &prepared, nullptr) != SQLITE_OK)
    return wrong(sqlite3_errmsg(handle));
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(prepared, sqlite3_finalize);
  std::vector<std::string> out;
  int rc = SQLITE_ROW;
  while ((rc = sqlite3_step(prepared)) == SQLITE_ROW) {
    if (out.size() >= limits.rows) return wrong("it has too many rows");
    const auto* data = static_cast<const char*>(sqlite3_column_blob(prepared, 0));
    out.emplace_back(data ? data : "", static_cast<std::size_t>(sqlite3_column_bytes(prepared, 0)));
  }
  if (rc != SQLITE_DONE) return wrong(sqlite3_errmsg(handle));
  return out;
}

}  // namespace mayfly::sqlite
