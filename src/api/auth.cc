#include "api/auth.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <pwd.h>

#include <cerrno>
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly::api {

Result<Tokens> Tokens::parse(std::string_view text, const std::string& where) {
  Tokens out;
  int number = 0;
  for (const auto& raw : split(text, '\n')) {
    ++number;
    auto line = trim(raw);
    if (line.empty() || line[0] == '#') continue;
    auto space = line.find_first_of(" \t");
    auto name = line.substr(0, space);
    auto hex = space == std::string_view::npos ? std::string_view() : trim(line.substr(space));
    if (hex.size() != 64 || hex.find_first_not_of("0123456789abcdef") != std::string_view::npos)
      return fail(ErrorCode::invalid, "not NAME and a SHA-256 in 64 lower-case hex digits",
                  fmt::format("{}:{}", where, number), "Make one with: printf %s \"$TOKEN\" | sha256sum");
    out.tokens_.push_back({std::string(name), std::string(hex)});
  }
  return out;
}

Result<Tokens> Tokens::load(const std::string& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) return Unexpected(errno_error("cannot read the tokens", errno != 0 ? errno : EIO, path));
  return parse(text.str(), path);
}

std::optional<std::string> Tokens::who(std::string_view token) const {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  ::SHA256(reinterpret_cast<const unsigned char*>(token.data()), token.size(), digest);
  auto hex = to_hex({reinterpret_cast<const char*>(digest), sizeof digest});
  const Token* found = nullptr;
  for (const auto& t : tokens_)
    if (::CRYPTO_memcmp(t.digest.data(), hex.data(), hex.size()) == 0) found = &t;  // no early end: time tells nothing
  if (!found) return std::nullopt;
  return found->name;
}

std::string user_name(uid_t uid) {
  char buffer[4096];
  passwd entry{}, *found = nullptr;
  if (::getpwuid_r(uid, &entry, buffer, sizeof buffer, &found) == 0 && found) return found->pw_name;
  return fmt::format("uid:{}", uid);
}

}  // namespace mayfly::api
