#pragma once
// The system call filter around every agent and its job, compiled once: libseccomp needs tens of milliseconds,
// installing the result less than one.
#include <string>
#include <vector>

#include "base/result.h"

namespace mayfly::local {

struct SeccompFilter {
  std::string program;  // struct sock_filter[], raw bytes, for this machine's architecture and its 32-bit relatives
  std::string origin;   // the profile's path, or "built-in"
};

inline constexpr const char* default_profile = "/usr/share/containers/seccomp.json";  // what podman and buildah use

// From the profile (the containers' JSON format) for a process with these capabilities; from the built-in deny list
// when the file does not exist. A profile that is there but cannot be understood is an error: guessing would be less
// safe.
Result<SeccompFilter> compile_seccomp_filter(const std::string& profile = default_profile);

}  // namespace mayfly::local
