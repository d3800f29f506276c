#pragma once
// Reads one column of an SQLite file that somebody else made, and may have made to do harm. Any thread; blocks.
#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"

namespace mayfly::sqlite {

struct ForeignLimits {
  std::size_t rows = 100'000, bytes_a_row = 16u << 20;
  int steps = 1'000'000;  // of SQLite's machine, in thousands: a view may go round for ever
};

// What `query` gives in its first column. The file, and a -wal beside it, may be changed by this: hand it a copy.
// invalid: it is no database, has no such table, or is over a limit.
Result<std::vector<std::string>> read_foreign(const std::string& path, const std::string& query,
                                              const ForeignLimits& limits = {});

}  // namespace mayfly::sqlite
