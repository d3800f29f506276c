#pragma once
// Which packages an rpm database names: those of rpm since 4.16, SQLite files with a header for each package. Any
// thread.
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "model/contents.h"

namespace mayfly::images {

// A package's header as the database keeps it (rpm's docs/manual/format.md, "Header structure", without its magic):
// two counts, that many index entries of four numbers, then the values they point at; big-endian all. invalid: it is
// not whole. Any bytes may be given.
Result<Package> parse_rpm_header(std::string_view blob);

// From the bytes of rpmdb.sqlite, and of rpmdb.sqlite-wal, which may be empty. `folder` is for a copy, removed again.
// Keys that rpm trusts (gpg-pubkey) are kept there as well, and are no packages.
Result<std::vector<Package>> read_rpm_database(const std::string& database, const std::string& wal,
                                               const std::string& folder);

}  // namespace mayfly::images
