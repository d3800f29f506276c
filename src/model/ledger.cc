#include "model/ledger.h"

#include <openssl/evp.h>
#include <array>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly {

const std::string ledger_genesis(64, '0');

std::string ledger_hash(const LedgerEntry& e) {
  std::string bytes;
  auto add = [&](std::string_view part) { bytes += fmt::format("{}:{}\n", part.size(), part); };
  add(e.previous);
  add(fmt::format("{}", e.seq));
  add(fmt::format("{}", to_micros(e.at)));
  add(e.kind);
  add(e.subject);
  add(e.detail);
  std::array<unsigned char, 32> digest{};
  unsigned length = 0;
  MAYFLY_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) == 1);
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

Result<void> verify_link(const LedgerEntry* last, const LedgerEntry& next) {
  std::uint64_t expected = last ? last->seq + 1 : 1;
  auto where = fmt::format("ledger entry {}", next.seq);
  if (next.seq != expected)
    return fail(ErrorCode::invalid, fmt::format("entry {} is missing or out of order", expected), where);
  if (next.previous != (last ? last->hash : ledger_genesis))
    return fail(ErrorCode::invalid, "it does not follow the entry before it", where);
  if (next.hash != ledger_hash(next))
    return fail(ErrorCode::invalid, "its content was changed after it was written", where);
  return {};
}

}  // namespace mayfly
