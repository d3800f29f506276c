#include "secrets/configured_secrets.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>
#include <cerrno>
#include <cstdlib>

#include "base/text.h"
#include "os/file.h"

namespace mayfly {
namespace {

Result<std::string> from_environment(const SecretSpec& spec, const std::string& where) {
  const char* value = std::getenv(spec.env.c_str());
  if (value == nullptr)
    return fail(ErrorCode::not_found, fmt::format("the daemon's environment has no variable {}", spec.env), where,
                "Set it where the daemon is started, and start the daemon again.");
  return std::string(value);
}

Result<void> check_file(int fd, const std::string& path, const std::string& where) {
  struct stat st{};
  if (fstat(fd, &st) != 0) return Unexpected(errno_error(fmt::format("cannot look at {}", path), errno, where));
  if (!S_ISREG(st.st_mode))
    return fail(ErrorCode::invalid, fmt::format("{} is not a regular file", path), where,
                "Name a file that holds the value.");
  if ((st.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH)) != 0)
    return fail(ErrorCode::denied, fmt::format("other users may read or change {}", path), where,
                fmt::format("Run: {}", shell_quote({"chmod", "600", path})));
  return {};
}

Result<std::string> from_file(const SecretSpec& spec, const std::string& where) {
  // O_NONBLOCK: opening a FIFO that stands there instead must not hang the caller.
  const os::Fd file(open(spec.file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) {
    auto error = errno_error(fmt::format("cannot open {}", spec.file), errno, where);
    error.next = "Write the value into that file, readable by the daemon's user alone (chmod 600).";
    return Unexpected(std::move(error));
  }
  MAYFLY_TRY(check_file(file.get(), spec.file, where));
  std::string value(max_secret_length + 2, '\0');  // the newline, and one more to see that there is more
  std::size_t length = 0;
  while (length < value.size()) {
    ssize_t n = read(file.get(), value.data() + length, value.size() - length);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Unexpected(errno_error(fmt::format("cannot read {}", spec.file), errno, where));
    if (n == 0) break;
    length += static_cast<std::size_t>(n);
  }
  value.resize(length);
  if (value.ends_with('\n')) value.pop_back();
  return value;
}

}  // namespace

Result<std::string> ConfiguredSecrets::get(const std::string& name) {
  std::string where = fmt::format("secret '{}'", name);
  std::unique_lock lock(mutex_);
  auto found = specs_.find(name);
  bool known = found != specs_.end();
  const SecretSpec spec = known ? found->second : SecretSpec();
  lock.unlock();  // a file may take its time
  if (!known)
    return fail(ErrorCode::not_found, "the configuration has no such secret", where,
                "Add it under 'secrets:' in mayfly.yaml.");
  bool file = spec.env.empty();
  MAYFLY_ASSIGN(auto value, file ? from_file(spec, where) : from_environment(spec, where));
  auto source = file ? spec.file : "the variable " + spec.env;
  if (value.size() < min_secret_length)
    return fail(ErrorCode::invalid, fmt::format("the value in {} has fewer than {} bytes", source, min_secret_length),
                where, "Masking a value that short would hide half of every log; use a longer one.");
  if (value.size() > max_secret_length)
    return fail(ErrorCode::invalid, fmt::format("the value in {} has more than {} bytes", source, max_secret_length),
                where, "Put what is larger into the image or the job's input.");
  if (ill_formed_utf8(value) != std::string::npos)
    return fail(ErrorCode::invalid, fmt::format("the value in {} is not UTF-8 text", source), where,
                "Encode it, for example with base64.");
  if (value.find('\0') != std::string::npos)
    return fail(ErrorCode::invalid,
                fmt::format("the value in {} has a NUL byte, which no environment variable can hold", source), where,
                "Encode it, for example with base64.");
  return value;
}

void ConfiguredSecrets::replace(std::map<std::string, SecretSpec> specs) {
  std::lock_guard lock(mutex_);
  specs_ = std::move(specs);
}

}  // namespace mayfly
