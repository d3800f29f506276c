#include "net/unix_path.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace mayfly::net {

Result<UnixPath> unix_path(const std::string& path) {
  UnixPath out;
  out.address.sun_family = AF_UNIX;
  std::string name = path;
  if (name.size() >= sizeof out.address.sun_path) {
    auto slash = path.rfind('/');
    std::string directory = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    out.directory = Fd(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!out.directory) return Unexpected(errno_error("cannot open the socket's directory", errno, directory));
    name = fmt::format("/proc/self/fd/{}/{}", out.directory.get(), path.substr(slash + 1));
    if (name.size() >= sizeof out.address.sun_path)
      return fail(ErrorCode::invalid, "the name of the socket is too long", path, "Choose one of at most 80 bytes.");
  }
  if (name.empty()) return fail(ErrorCode::invalid, "a unix socket needs a path");
  std::memcpy(out.address.sun_path, name.data(), name.size());
  return out;
}

}  // namespace mayfly::net
