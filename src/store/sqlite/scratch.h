#pragma once
// For this folder's tests: a directory that goes away, and raw access to the file as someone with a shell would have
// it.
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "store/sqlite/sqlite_store.h"

namespace mayfly {

class Scratch {
 public:
  Scratch() {
    std::string pattern = "/tmp/mayfly-store-XXXXXX";
    MAYFLY_CHECK(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  const std::string& path() const { return path_; }
  std::string database() const { return path_ + "/mayfly.db"; }

 private:
  std::string path_;
};

inline std::unique_ptr<SqliteStore> open_store(const std::string& path) {
  auto store = SqliteStore::open(path);
  EXPECT_TRUE(store) << store.error().text();
  return store ? std::move(*store) : nullptr;
}

inline void raw_sql(const std::string& path, const std::string& sql) {
  auto database = sqlite::Database::open(path, {.application_id = sqlite_application_id});
  ASSERT_TRUE(database) << database.error().text();
  auto done = (*database)->execute(sql);
  ASSERT_TRUE(done) << done.error().text();
}

}  // namespace mayfly
