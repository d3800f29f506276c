#include "agent/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "base/fd.h"

namespace mayfly::agent {
namespace {

constexpr std::size_t block = 256U << 10;

using Reader = std::unique_ptr<archive, decltype(&archive_read_free)>;
using Writer = std::unique_ptr<archive, decltype(&archive_write_free)>;
using Entry = std::unique_ptr<archive_entry, decltype(&archive_entry_free)>;

Unexpected archive_failure(std::string what, archive* a) {
  int number = archive_errno(a);
  const char* said = archive_error_string(a);
  std::string text = said != nullptr ? said : "unknown reason";
  // libarchive often keeps the cause to itself: "Write failed".
  if (const char* cause = number > 0 ? std::strerror(number) : "";
      text.find(cause) == std::string::npos && number != EILSEQ)
    text += std::string(": ") + cause;
  auto code = number == ENOSPC ? ErrorCode::exhausted : ErrorCode::invalid;
  return fail(code, std::move(what) + ": " + text);
}

std::string name_of(archive_entry* e) {
  const char* name = archive_entry_pathname(e);
  return name != nullptr ? name : "";
}

Result<void> copy_data(archive* from, archive* to, const std::string& name) {
  for (;;) {
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    int r = archive_read_data_block(from, &data, &size, &offset);
    if (r == ARCHIVE_EOF) return {};
    if (r < ARCHIVE_WARN) return archive_failure("cannot read '" + name + "' from the archive", from);
    // A full disk is but a warning to libarchive.
    if (archive_write_data_block(to, data, size, offset) < ARCHIVE_OK)
      return archive_failure("cannot write '" + name + "'", to);
  }
}

Result<void> unpack_entry(archive* from, archive* to, archive_entry* e) {
  auto name = name_of(e);
  auto type = archive_entry_filetype(e);
  bool link = archive_entry_hardlink(e) != nullptr;
  if (!link && type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK)
    return fail(ErrorCode::invalid, "'" + name + "' is a device, fifo or socket", {}, "Leave it out of the upload.");
  archive_entry_set_mode(e, archive_entry_mode(e) & ~(S_ISUID | S_ISGID));
  if (archive_write_header(to, e) < ARCHIVE_WARN) return archive_failure("cannot make '" + name + "'", to);
  if (archive_entry_size(e) > 0) MAYFLY_TRY(copy_data(from, to, name));
  if (archive_write_finish_entry(to) < ARCHIVE_WARN) return archive_failure("cannot finish '" + name + "'", to);
  return {};
}

// One directory to pack, and what has been packed of it.
class Packer {
 public:
  explicit Packer(archive* to) : to_(to), entry_(archive_entry_new(), &archive_entry_free), buffer_(block) {}

  Result<void> directory(const std::string& path) {
    MAYFLY_ASSIGN(auto names, list(path));
    for (const auto& name : names) MAYFLY_TRY(item(path == "." ? name : path + "/" + name));
    return {};
  }

 private:
  // Names first, then the directory is closed: a deep tree must not use up the descriptors.
  static Result<std::vector<std::string>> list(const std::string& path) {
    std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), &::closedir);
    if (!dir) return Unexpected(errno_error("cannot read directory", errno, path));
    std::vector<std::string> names;
    errno = 0;
    while (auto* d = ::readdir(dir.get())) {
      std::string name = d->d_name;
      if (name != "." && name != "..") names.push_back(std::move(name));
      errno = 0;
    }
    if (errno != 0) return Unexpected(errno_error("cannot read directory", errno, path));
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<void> item(const std::string& path) {
    struct stat st{};
    if (::lstat(path.c_str(), &st) != 0) return Unexpected(errno_error("cannot look at it", errno, path));
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode)) return {};
    archive_entry_clear(entry_.get());
    archive_entry_copy_stat(entry_.get(), &st);
    archive_entry_copy_pathname(entry_.get(), path.c_str());
    if (!S_ISREG(st.st_mode)) archive_entry_set_size(entry_.get(), 0);
    if (S_ISREG(st.st_mode)) return file(path, st);
    if (S_ISLNK(st.st_mode)) {
      std::string target(4096, '\0');
      auto n = ::readlink(path.c_str(), target.data(), target.size());
      if (n < 0) return Unexpected(errno_error("cannot read the link", errno, path));
      target.resize(static_cast<std::size_t>(n));
      archive_entry_copy_symlink(entry_.get(), target.c_str());
      return header(path);
    }
    MAYFLY_TRY(header(path));
    return directory(path);
  }

  Result<void> header(const std::string& path) {
    if (archive_write_header(to_, entry_.get()) < ARCHIVE_WARN)
      return archive_failure("cannot pack '" + path + "'", to_);
    return {};
  }

  Result<void> file(const std::string& path, const struct stat& st) {
    if (st.st_nlink > 1) {
      auto [at, fresh] = links_.try_emplace({st.st_dev, st.st_ino}, path);
      if (!fresh) {
        archive_entry_copy_hardlink(entry_.get(), at->second.c_str());
        archive_entry_set_size(entry_.get(), 0);
        return header(path);
      }
    }
    Fd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return Unexpected(errno_error("cannot open", errno, path));
    MAYFLY_TRY(header(path));
    for (;;) {
      auto n = ::read(fd.get(), buffer_.data(), buffer_.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return Unexpected(errno_error("cannot read", errno, path));
      if (n == 0) return {};
      if (archive_write_data(to_, buffer_.data(), static_cast<std::size_t>(n)) != n)
        return archive_failure("cannot pack '" + path + "'", to_);
    }
  }

  archive* to_;
  Entry entry_;
  std::vector<char> buffer_;
  std::map<std::pair<dev_t, ino_t>, std::string> links_;  // files of several names, by the first of them
};

}  // namespace

Result<void> unpack_tar(int fd, const std::string& directory) {
  if (::chdir(directory.c_str()) != 0) return Unexpected(errno_error("cannot enter it", errno, directory));
  ::lseek(fd, 0, SEEK_SET);  // refused by a pipe, which is at its start anyway
  Reader from(archive_read_new(), &archive_read_free);
  Writer to(archive_write_disk_new(), &archive_write_free);
  archive_read_support_format_tar(from.get());
  archive_read_support_format_empty(from.get());
  archive_write_disk_set_options(to.get(), ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME |
                                               ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT |
                                               ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS);
  if (archive_read_open_fd(from.get(), fd, block) != ARCHIVE_OK)
    return archive_failure("cannot read the archive", from.get());
  for (;;) {
    archive_entry* e = nullptr;
    int r = archive_read_next_header(from.get(), &e);
    if (r == ARCHIVE_EOF) break;
    if (r < ARCHIVE_WARN) return archive_failure("cannot read the archive", from.get());
    MAYFLY_TRY(unpack_entry(from.get(), to.get(), e));
  }
  if (archive_write_close(to.get()) < ARCHIVE_WARN) return archive_failure("cannot finish unpacking", to.get());
  return {};
}

Result<void> pack_tar(const std::string& directory, int fd) {
  if (::chdir(directory.c_str()) != 0) return Unexpected(errno_error("cannot enter the directory", errno, directory));
  Writer to(archive_write_new(), &archive_write_free);
  // An earlier attempt at the job may have left an archive there; refused by a pipe, which has nothing to lose.
  if (::ftruncate(fd, 0) == 0) ::lseek(fd, 0, SEEK_SET);
  // GNU's format takes names as bytes and of any length. libarchive's pax would convert names beyond ASCII, which the C
  // locale (the only one here) cannot, or mark each entry as binary: 1 KiB each, and GNU tar warns at every one.
  archive_write_set_format_gnutar(to.get());
  archive_write_set_bytes_per_block(to.get(), static_cast<int>(block));
  archive_write_set_bytes_in_last_block(to.get(), 512);
  if (archive_write_open_fd(to.get(), fd) != ARCHIVE_OK) return archive_failure("cannot write the archive", to.get());
  MAYFLY_TRY(Packer(to.get()).directory("."));
  if (archive_write_close(to.get()) != ARCHIVE_OK) return archive_failure("cannot write the archive", to.get());
  return {};
}

}  // namespace mayfly::agent
