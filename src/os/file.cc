#include "os/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

namespace mayfly::os {
namespace {

std::string parent_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

constexpr int max_depth = 512;  // deeper trees would cost a descriptor a level; a job can make them, so it is an error

Result<void> remove_at(int parent, const char* name, const std::string& shown, dev_t device, int depth);

Result<void> remove_children(int fd, const std::string& shown, dev_t device, int depth) {
  DIR* dir = fdopendir(fd);
  if (!dir) {
    close(fd);
    return Unexpected(errno_error("cannot list the directory", errno, shown));
  }
  Result<void> outcome;
  while (outcome) {
    errno = 0;
    const dirent* entry = readdir(dir);
    if (!entry) break;
    if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
    outcome = remove_at(dirfd(dir), entry->d_name, shown + "/" + entry->d_name, device, depth);
  }
  closedir(dir);
  return outcome;
}

Result<void> remove_at(int parent, const char* name, const std::string& shown, dev_t device, int depth) {
  if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return {};
  if (errno != EISDIR && errno != EPERM) return Unexpected(errno_error("cannot remove", errno, shown));
  if (depth > max_depth)
    return fail(ErrorCode::exhausted, "the tree is too deep to remove", shown, "Remove it by hand");
  const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) return {};
  if (fd < 0) return Unexpected(errno_error("cannot open for removal", errno, shown));
  struct stat st{};
  if (fstat(fd, &st) != 0 || st.st_dev != device) {
    close(fd);
    return fail(ErrorCode::conflict, "another file system is mounted here, so it is not removed", shown, "Unmount it");
  }
  MAYFLY_TRY(remove_children(fd, shown, device, depth + 1));
  if (unlinkat(parent, name, AT_REMOVEDIR) != 0 && errno != ENOENT)
    return Unexpected(errno_error("cannot remove the directory", errno, shown));
  return {};
}

}  // namespace

Result<Fd> open_file(const std::string& path, int flags, unsigned mode) {
  Fd fd(open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) return Unexpected(errno_error("cannot open", errno, path));
  return fd;
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  MAYFLY_ASSIGN(Fd fd, open_file(path, O_RDONLY));
  std::string text;
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t n = read(fd.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Unexpected(errno_error("cannot read", errno, path));
    if (n == 0) return text;
    if (text.size() + static_cast<std::size_t>(n) > limit)
      return fail(ErrorCode::exhausted, fmt::format("longer than the {} bytes allowed", limit), path);
    text.append(buffer.data(), static_cast<std::size_t>(n));
  }
}

Result<void> write_all(int fd, std::string_view bytes, const std::string& where) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Unexpected(errno_error("cannot write", errno, where));
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> write_file_atomically(const std::string& path, std::string_view bytes, unsigned mode) {
  std::string temporary = path + ".XXXXXX";
  Fd fd(mkostemp(temporary.data(), O_CLOEXEC));
  if (!fd) return Unexpected(errno_error("cannot make a temporary file", errno, temporary));
  const auto give_up = [&](Error error) -> Result<void> {
    unlink(temporary.c_str());
    return Unexpected(std::move(error));
  };
  if (auto written = write_all(fd.get(), bytes, temporary); !written) return give_up(written.error());
  if (fchmod(fd.get(), mode) != 0) return give_up(errno_error("cannot set the mode", errno, temporary));
  if (fsync(fd.get()) != 0) return give_up(errno_error("cannot sync", errno, temporary));
  if (rename(temporary.c_str(), path.c_str()) != 0) return give_up(errno_error("cannot rename", errno, path));
  const std::string parent = parent_of(path);
  MAYFLY_ASSIGN(Fd directory, open_file(parent, O_RDONLY | O_DIRECTORY));
  if (fsync(directory.get()) != 0) return Unexpected(errno_error("cannot sync the directory", errno, parent));
  return {};
}

Result<void> make_directories(const std::string& path, unsigned mode) {
  for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (!part.empty() && mkdir(part.c_str(), mode) != 0) {
      const int error = errno;
      struct stat st{};
      if (stat(part.c_str(), &st) != 0) return Unexpected(errno_error("cannot make the directory", error, part));
      if (!S_ISDIR(st.st_mode))
        return fail(ErrorCode::conflict, "something that is not a directory is in the way", part, "Move it away");
    }
    if (end == std::string::npos) return {};
  }
}

Result<void> remove_tree(const std::string& path) {
  struct stat st{};
  if (lstat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return {};
    return Unexpected(errno_error("cannot look at", errno, path));
  }
  return remove_at(AT_FDCWD, path.c_str(), path, st.st_dev, 0);
}

Result<DiskSpace> disk_space(const std::string& path) {
  struct statvfs fs{};
  if (statvfs(path.c_str(), &fs) != 0) return Unexpected(errno_error("cannot ask for free disk space", errno, path));
  const auto unit = static_cast<std::int64_t>(fs.f_frsize);
  return DiskSpace{static_cast<std::int64_t>(fs.f_bavail) * unit, static_cast<std::int64_t>(fs.f_blocks) * unit};
}

}  // namespace mayfly::os
