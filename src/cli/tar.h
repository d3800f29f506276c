#pragma once
// Directories as tar streams, for --upload and --download.
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace mayfly {

// Writes the content of `directory` to `fd`: modes, times and symbolic links as they are, nobody's name, nothing left
// out but sockets and devices. More than `limit` bytes is an error.
Result<void> pack_tar(const std::string& directory, int fd, std::int64_t limit);

struct Unpacked {
  std::int64_t files = 0;             // and directories and links
  std::vector<std::string> left_out;  // names of what is no file, directory or link; at most 20
};

// Unpacks from `fd` into `directory`, which is made if it is missing. The tar comes from a job, so it is not trusted:
// no name may lead out of the directory, also not by a link that is there already, and no set-user-id bit survives.
Result<Unpacked> unpack_tar(int fd, const std::string& directory);

}  // namespace mayfly
