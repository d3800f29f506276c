#pragma once
// Files as the rest of the program needs them: descriptors that close themselves, whole-file reads with a limit, writes
// that are all or nothing, and removal that cannot be led astray by a symbolic link. Any thread.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace mayfly::os {

using mayfly::Fd;

// open() with O_CLOEXEC; the error names the path.
Result<Fd> open_file(const std::string& path, int flags, unsigned mode = 0600);

// The whole file; `exhausted` if it is longer than `limit` bytes.
Result<std::string> read_file(const std::string& path, std::size_t limit);

// All or nothing, also across a power cut: a temporary file beside it, fsync, rename, fsync of the directory.
Result<void> write_file_atomically(const std::string& path, std::string_view bytes, unsigned mode = 0600);

// Writes everything or fails.
Result<void> write_all(int fd, std::string_view bytes, const std::string& where);

// mkdir -p; existing directories are fine, anything else in the way is an error.
Result<void> make_directories(const std::string& path, unsigned mode = 0700);

// Removes a file, a symbolic link or a whole tree; nothing there is fine. Never follows a link and never crosses into
// another mount, so a job cannot make it remove anything of the host's.
Result<void> remove_tree(const std::string& path);

struct DiskSpace {
  std::int64_t free = 0, total = 0;  // bytes; free as an ordinary user may use it
};
Result<DiskSpace> disk_space(const std::string& path);

}  // namespace mayfly::os
