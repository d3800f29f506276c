#pragma once
// The database's shape, as numbered steps. A step that was released is never edited: a change is a new step at the end.
#include <span>
#include <string>

#include "base/result.h"
#include "os/sqlite.h"

namespace mayfly {

struct Migration {
  int number;  // 1, 2, 3, …
  const char* name;
  const char* sql;
};

std::span<const Migration> migrations();

// Brings the database to the last of `steps`, each in a transaction of its own. A database that is newer than the
// program is refused untouched: an older program cannot know what its rows mean.
Result<void> migrate(sqlite::Database& database, std::span<const Migration> steps);

}  // namespace mayfly
