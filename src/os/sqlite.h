#pragma once
// A small handle on an SQLite file: opened with the settings that durability needs, statements prepared once and kept.
// One handle belongs to one thread at a time: whoever owns it holds the lock (SQLite is opened without its own).
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace mayfly::sqlite {

class Database;

// A prepared statement on loan: bound and stepped, and handed back clean when it goes out of scope. A failed bind is
// remembered and comes out of the next step(), so that a chain of binds needs no check of its own.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  Statement& integer(std::int64_t value);  // parameters are bound in order, from ?1 on
  Statement& text(std::string_view value);
  Statement& blob(std::string_view value);
  Statement& null();

  Result<bool> step();  // true: there is a row
  Result<void> run();   // to the end, rows are dropped

  // Of the current row; columns count from 0.
  std::int64_t integer_at(int column) const;
  std::string text_at(int column) const;  // text or blob, NULL as empty
  bool null_at(int column) const;

 private:
  friend class Database;
  Statement(Database& database, sqlite3_stmt* statement) : database_(&database), statement_(statement) {}
  Database* database_;
  sqlite3_stmt* statement_;
  int next_ = 1;
  int bind_error_ = 0;
};

struct OpenOptions {
  std::uint32_t application_id = 0;  // an existing file with another one is refused: it belongs to another program
  bool read_only = false;            // a second view of a file that is open already
  int busy_timeout_ms = 5000;
};

class Database {
 public:
  // Creates the file (mode 0600) when it is missing. WAL, synchronous=FULL, foreign keys on.
  static Result<std::unique_ptr<Database>> open(const std::string& path, const OpenOptions& options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Prepares once and keeps it: `sql` should be one of a fixed set of texts. A statement on loan cannot be lent again.
  Result<Statement> prepare(std::string_view sql);
  // One or more statements without parameters or rows.
  Result<void> execute(const std::string& sql);
  Result<std::int64_t> integer(std::string_view sql);  // first column of the first row; 0 if there is none
  std::int64_t changes() const;                        // rows changed by the last statement
  bool in_transaction() const;
  const std::string& path() const { return path_; }

  // The last failure as an Error that says which file and what to do. `code` is SQLite's.
  Error error(int code, std::string_view doing) const;

 private:
  friend class Statement;
  Database(std::string path, sqlite3* handle) : path_(std::move(path)), handle_(handle) {}
  Result<void> configure(const OpenOptions& options);
  Result<void> check_owner(const OpenOptions& options);
  std::string path_;
  sqlite3* handle_;
  std::map<std::string, sqlite3_stmt*, std::less<>> statements_;
};

// BEGIN IMMEDIATE … COMMIT; rolled back when it goes out of scope without commit(), or when commit() fails.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  // A consistent view for several reads; there is nothing to commit.
  static Result<Transaction> begin_read(Database& database);
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Result<void> commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace mayfly::sqlite
