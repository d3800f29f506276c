#include "store/sqlite/rows.h"

#include <boost/json.hpp>

#include "base/text.h"
#include "model/json.h"

namespace mayfly {
namespace json = boost::json;
namespace {

Result<json::object> parse(const std::string& body, const char* what) {
  json::error_code ec;
  json::parse_options options;
  options.max_depth = 16;
  options.allow_invalid_utf8 = true;
  auto value = json::parse(body, ec, {}, options);
  if (ec || !value.is_object())
    return fail(ErrorCode::internal, std::string("the record of a ") + what + " cannot be read", "database",
                "The database was changed from outside or is damaged: restore it from a backup.");
  return std::move(value.get_object());
}

int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

}  // namespace

std::string job_body(const Job& job) { return json::serialize(to_json(job)); }
std::string builder_body(const Builder& builder) { return json::serialize(to_json(builder)); }

Result<Job> job_from_body(const std::string& body) {
  MAYFLY_ASSIGN(auto object, parse(body, "job"));
  return job_from_json(object);
}

Result<Builder> builder_from_body(const std::string& body) {
  MAYFLY_ASSIGN(auto object, parse(body, "builder"));
  return builder_from_json(object);
}

Result<ImageVersion> version_from_body(const std::string& body) {
  MAYFLY_ASSIGN(auto object, parse(body, "version"));
  return image_version_from_json(object);
}

Result<PoolVersions> pool_from_body(const std::string& body) {
  MAYFLY_ASSIGN(auto object, parse(body, "rollout"));
  return pool_versions_from_json(object);
}

Result<Publication> publication_from_body(const std::string& body) {
  MAYFLY_ASSIGN(auto object, parse(body, "publication"));
  return publication_from_json(object);
}

Result<ImageBuild> image_build_from_body(const std::string& body) {
  MAYFLY_ASSIGN(auto object, parse(body, "build"));
  return image_build_from_json(object);
}

std::string hash_bytes(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    int high = digit(hex[i]), low = digit(hex[i + 1]);
    MAYFLY_CHECK(high >= 0 && low >= 0);  // we made it
    bytes += static_cast<char>(high << 4 | low);
  }
  return bytes;
}

LedgerEntry ledger_row(const sqlite::Statement& row) {
  LedgerEntry e;
  e.seq = static_cast<std::uint64_t>(row.integer_at(0));
  e.at = from_micros(row.integer_at(1));
  e.kind = row.text_at(2);
  e.subject = row.text_at(3);
  e.detail = row.text_at(4);
  e.previous = to_hex(row.text_at(5));
  e.hash = to_hex(row.text_at(6));
  return e;
}

}  // namespace mayfly
