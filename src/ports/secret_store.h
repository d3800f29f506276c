#pragma once
// Where the values of secrets come from. Any thread.
#include <string>

#include "base/result.h"

namespace mayfly {

class SecretStore {
 public:
  virtual ~SecretStore() = default;
  // The value. not_found: no such secret. The error never contains a value.
  virtual Result<std::string> get(const std::string& name) = 0;
};

// A job's log masks its secrets' values; what is shorter than this would mask half of every log.
inline constexpr std::size_t min_secret_length = 4;

}  // namespace mayfly
