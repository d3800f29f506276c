#pragma once
// Secrets as the configuration names them: the daemon's environment variables and files. Read anew at every get(), so
// that a changed file needs no restart, and nothing is kept in memory here. Any thread.
#include <map>
#include <mutex>
#include <string>

#include "model/pool.h"
#include "ports/secret_store.h"

namespace mayfly {

inline constexpr std::size_t max_secret_length = 64 << 10;

class ConfiguredSecrets final : public SecretStore {
 public:
  explicit ConfiguredSecrets(std::map<std::string, SecretSpec> specs) : specs_(std::move(specs)) {}

  // not_found: no such secret, or its variable or file does not exist. denied: a file that others may read, or that we
  // may not. invalid: the value is too short, too long or has a NUL. No error contains a value nor its length.
  Result<std::string> get(const std::string& name) override;
  // Another configuration holds from now on.
  void replace(std::map<std::string, SecretSpec> specs);

 private:
  std::mutex mutex_;
  std::map<std::string, SecretSpec> specs_;
};

}  // namespace mayfly
