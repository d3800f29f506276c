#pragma once
// Values to and from what a row holds. Pure, so that a property test can hold the way there against the way back.
#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "model/builder.h"
#include "model/image_build.h"
#include "model/job.h"
#include "model/ledger.h"
#include "model/publication.h"
#include "model/rollout.h"
#include "model/version.h"
#include "os/sqlite.h"

namespace mayfly {

// The value as JSON text, and back. Unlike input from outside, a body may hold bytes that are not UTF-8 (an error text
// of some tool): it was accepted once, and refusing it now would keep the daemon from starting.
std::string job_body(const Job& job);
std::string builder_body(const Builder& builder);
Result<Job> job_from_body(const std::string& body);
Result<Builder> builder_from_body(const std::string& body);
Result<ImageVersion> version_from_body(const std::string& body);
Result<PoolVersions> pool_from_body(const std::string& body);
Result<Publication> publication_from_body(const std::string& body);
Result<ImageBuild> image_build_from_body(const std::string& body);

std::string hash_bytes(const std::string& hex);  // 64 hex digits → 32 bytes

// The columns seq, at, kind, subject, detail, previous, hash of the current row.
LedgerEntry ledger_row(const sqlite::Statement& row);

}  // namespace mayfly
