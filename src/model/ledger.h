#pragma once
// The ledger: the append-only, hash-chained record of everything decided, done and seen.
#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/result.h"

namespace mayfly {

struct LedgerEntry {
  std::uint64_t seq = 0;  // 1, 2, 3, …: no gaps
  Time at{};
  std::string kind;      // "job.submitted", "builder.requested", "pool.network-host", … : NOUN.PAST-PARTICIPLE
  std::string subject;   // "job/17", "builder/general-4", "pool/general", "daemon"
  std::string detail;    // a JSON object, as text: the bytes that were hashed
  std::string previous;  // hex SHA-256 of the entry before; 64 zeros for the first
  std::string hash;      // hex SHA-256 over all of the above (ledger_hash)
};

// SHA-256 over previous, seq, at, kind, subject, detail, each preceded by its length, so that no two entries hash
// alike.
std::string ledger_hash(const LedgerEntry& entry);
extern const std::string ledger_genesis;  // 64 zeros

// Whether `next` follows `last` (or opens the chain, when last is null) and its hash is right.
Result<void> verify_link(const LedgerEntry* last, const LedgerEntry& next);

}  // namespace mayfly
