#pragma once
// Who asks: over the unix socket the kernel says so, over TCP a bearer token does.
#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mayfly::api {

// The tokens' file: lines "NAME SHA256-HEX-OF-TOKEN"; empty lines and # comments are skipped. The tokens themselves are
// nowhere on the server.
class Tokens {
 public:
  static Result<Tokens> parse(std::string_view text, const std::string& where);
  static Result<Tokens> load(const std::string& path);
  // The name that this token belongs to. Takes the same time whichever token it is, and whether it is one at all.
  std::optional<std::string> who(std::string_view token) const;
  std::size_t size() const { return tokens_.size(); }

 private:
  struct Token {
    std::string name, digest;
  };
  std::vector<Token> tokens_;
};

// "alice", or "uid:1000" where the host knows no name for it.
std::string user_name(uid_t uid);

}  // namespace mayfly::api
