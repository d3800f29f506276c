#pragma once
// The parameters after the '?', by type. Remembers the first that is wrong; whoever reads checks once, at the end.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "net/target.h"

namespace mayfly::api {

class Query {
 public:
  explicit Query(const net::Target& target) : target_(target) {}
  std::string text(const std::string& name);
  std::uint64_t number(const std::string& name, std::uint64_t missing, std::uint64_t most);
  std::optional<bool> flag(const std::string& name);
  void wrong(const std::string& name, const std::string& expected);
  // What was wrong, or a parameter that nobody asked for.
  Result<void> check() const;

 private:
  const net::Target& target_;
  std::vector<std::string> asked_;
  std::string problem_;
};

// A path's number, such as a job's id.
Result<std::uint64_t> parse_id(const std::string& text);

}  // namespace mayfly::api
