#pragma once
// Directories in and out of a builder, as tar. Both work on hostile input: an uploaded archive may try to leave the
// directory, and a job's directory may hold anything that a file system can.
#include <string>

#include "base/result.h"

namespace mayfly::agent {

// Unpacks into `directory`, owned by the caller's user. Absolute names, "..", names through symbolic links, and devices
// are errors. Changes the process's working directory.
Result<void> unpack_tar(int fd, const std::string& directory);

// Packs what is below `directory` (names relative to it). Sockets, fifos and devices are left out. Changes the
// process's working directory.
Result<void> pack_tar(const std::string& directory, int fd);

}  // namespace mayfly::agent
