#pragma once
// Addresses of unix sockets whose path may be longer than the 107 bytes that sockaddr_un holds: those go through
// /proc/self/fd/N/NAME with the directory opened as N.
#include <sys/socket.h>
#include <sys/un.h>

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace mayfly::net {

struct UnixPath {
  sockaddr_un address{};
  Fd directory;  // open as long as the address is in use

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }
  static constexpr socklen_t size = sizeof(sockaddr_un);
};

Result<UnixPath> unix_path(const std::string& path);

}  // namespace mayfly::net
