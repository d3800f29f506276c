#include "cli/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "base/text.h"

namespace mayfly {
namespace {

using Reader = std::unique_ptr<archive, decltype(&archive_read_free)>;
using Writer = std::unique_ptr<archive, decltype(&archive_write_free)>;
using Entry = std::unique_ptr<archive_entry, decltype(&archive_entry_free)>;

Unexpected archive_failure(archive* a, const std::string& where) {
  int n = archive_errno(a);
  const char* text = archive_error_string(a);
  auto code = n > 0 ? errno_error("", n).code : ErrorCode::internal;
  return fail(code, text ? text : "unknown failure of libarchive", where);
}

// Where a writer's bytes go, counted.
struct Sink {
  int fd;
  std::int64_t left;
  bool too_much = false, closed = false;

  static la_ssize_t write(archive* a, void* self_pointer, const void* data, std::size_t size) {
    auto& self = *static_cast<Sink*>(self_pointer);
    if (static_cast<std::int64_t>(size) > self.left) {
      self.too_much = true;
      archive_set_error(a, EFBIG, "too much");
      return -1;
    }
    for (;;) {
      ssize_t n = ::write(self.fd, data, size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        self.closed = errno == EPIPE;
        archive_set_error(a, errno, "writing the archive");
      } else {
        self.left -= n;
      }
      return n;
    }
  }
};

class Packer {
 public:
  Packer(const std::string& directory, int fd, std::int64_t limit)
      : directory_(directory),
        limit_(limit),
        sink_{fd, limit},
        disk_(archive_read_disk_new(), archive_read_free),
        out_(archive_write_new(), archive_write_free) {}

  Result<void> pack() {
    archive_read_disk_set_symlink_physical(disk_.get());
    archive_read_disk_set_behavior(disk_.get(),
                                   ARCHIVE_READDISK_NO_XATTR | ARCHIVE_READDISK_NO_ACL | ARCHIVE_READDISK_NO_FFLAGS);
    archive_write_set_format_pax_restricted(out_.get());
    archive_write_set_bytes_per_block(out_.get(), 256 << 10);
    archive_write_set_bytes_in_last_block(out_.get(), 1);
    if (archive_write_open(out_.get(), &sink_, nullptr, Sink::write, nullptr) != ARCHIVE_OK) return failure();
    if (archive_read_disk_open(disk_.get(), directory_.c_str()) != ARCHIVE_OK)
      return archive_failure(disk_.get(), directory_);
    Entry entry(archive_entry_new(), archive_entry_free);
    for (;;) {
      archive_entry_clear(entry.get());
      int r = archive_read_next_header2(disk_.get(), entry.get());
      if (r == ARCHIVE_EOF) break;
      if (r != ARCHIVE_OK) return archive_failure(disk_.get(), directory_);
      archive_read_disk_descend(disk_.get());
      MAYFLY_TRY(add(entry.get()));
    }
    if (archive_write_close(out_.get()) != ARCHIVE_OK) return failure();
    return {};
  }

 private:
  Result<void> add(archive_entry* entry) {
    std::string path = archive_entry_pathname(entry);
    std::string name = path.substr(std::min(path.size(), directory_.size()));
    name.erase(0, name.find_first_not_of('/'));
    auto type = archive_entry_filetype(entry);
    if (path == directory_ || name.empty()) return {};
    if (type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK) return {};
    archive_entry_set_pathname(entry, name.c_str());
    // Whoever owns it here is nobody there; the builder's user shall own it.
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    archive_entry_set_uname(entry, nullptr);
    archive_entry_set_gname(entry, nullptr);
    archive_entry_set_hardlink(entry, nullptr);
    if (archive_write_header(out_.get(), entry) != ARCHIVE_OK) return failure();
    return type == AE_IFREG ? copy(path) : Result<void>{};
  }

  Result<void> copy(const std::string& path) {
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0, written = 0;
    static constexpr std::array<char, 64 << 10> zeros{};
    for (;;) {
      int r = archive_read_data_block(disk_.get(), &data, &size, &offset);
      if (r == ARCHIVE_EOF)
        return {};  // what a hole at the end, or a file that shrank, lacks is filled with zeros by the writer
      if (r != ARCHIVE_OK) return archive_failure(disk_.get(), path);
      while (written < offset) {
        auto n = std::min<la_int64_t>(offset - written, static_cast<la_int64_t>(zeros.size()));
        if (archive_write_data(out_.get(), zeros.data(), static_cast<std::size_t>(n)) < 0) return failure();
        written += n;
      }
      if (archive_write_data(out_.get(), data, size) < 0) return failure();
      written += static_cast<la_int64_t>(size);
    }
  }

  Unexpected failure() {
    if (sink_.too_much)
      return fail(ErrorCode::exhausted,
                  fmt::format("it holds more than {}, the most that can be uploaded", format_bytes(limit_)), directory_,
                  "Upload a smaller directory.");
    return archive_failure(out_.get(), directory_);
  }

  std::string directory_;
  std::int64_t limit_;
  Sink sink_;
  Reader disk_;
  Writer out_;
};

// Why a name of the archive cannot be used; empty: it can.
std::string_view unsafe(std::string_view name) {
  if (name.empty()) return "has an empty name";
  if (name.front() == '/') return "has an absolute name";
  if (name.find('\0') != std::string_view::npos) return "has a zero byte in its name";
  for (const auto& part : split(name, '/'))
    if (part == "..") return "leads out of the directory";
  return {};
}

class Unpacker {
 public:
  explicit Unpacker(std::string directory)
      : directory_(std::move(directory)),
        in_(archive_read_new(), archive_read_free),
        disk_(archive_write_disk_new(), archive_write_free) {}

  Result<Unpacked> unpack(int fd) {
    archive_read_support_format_tar(in_.get());
    archive_read_support_format_empty(in_.get());
    archive_write_disk_set_options(disk_.get(), ARCHIVE_EXTRACT_TIME | ARCHIVE_EXTRACT_PERM |
                                                    ARCHIVE_EXTRACT_SECURE_SYMLINKS | ARCHIVE_EXTRACT_SECURE_NODOTDOT);
    if (archive_read_open_fd(in_.get(), fd, 256 << 10) != ARCHIVE_OK)
      return archive_failure(in_.get(), "the job's output");
    archive_entry* entry = nullptr;
    for (;;) {
      int r = archive_read_next_header(in_.get(), &entry);
      if (r == ARCHIVE_EOF) break;
      if (r != ARCHIVE_OK) return archive_failure(in_.get(), "the job's output");
      MAYFLY_TRY(extract(entry));
    }
    if (archive_write_close(disk_.get()) != ARCHIVE_OK) return archive_failure(disk_.get(), directory_);
    return std::move(done_);
  }

 private:
  Result<void> extract(archive_entry* entry) {
    const char* raw = archive_entry_pathname(entry);
    std::string name = raw ? raw : "";
    auto refuse = [&](std::string_view why) {
      return fail(ErrorCode::denied, fmt::format("the entry '{}' {}", name, why), "the job's output",
                  "Nothing more of it was unpacked.");
    };
    if (auto why = unsafe(name); !why.empty()) return refuse(why);
    const char* target = archive_entry_hardlink(entry);
    if (target && !unsafe(target).empty()) return refuse("links to a file outside");
    auto type = archive_entry_filetype(entry);
    if (!target && type != AE_IFREG && type != AE_IFDIR && type != AE_IFLNK) {
      if (done_.left_out.size() < 20) done_.left_out.push_back(name);
      return {};
    }
    // The directory itself keeps the mode that it has here.
    if (name == "." || name == "./") return {};
    archive_entry_set_pathname(entry, (directory_ + "/" + name).c_str());
    if (target) archive_entry_set_hardlink(entry, (directory_ + "/" + std::string(target)).c_str());
    archive_entry_set_perm(entry, archive_entry_perm(entry) & 0777);
    MAYFLY_TRY(write(entry, directory_ + "/" + name));
    ++done_.files;
    return {};
  }

  // By hand, because archive_read_extract2 makes a mere warning of a name that it refused.
  Result<void> write(archive_entry* entry, const std::string& path) {
    if (archive_write_header(disk_.get(), entry) < ARCHIVE_WARN) return archive_failure(disk_.get(), path);
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    while (archive_entry_size(entry) > 0) {
      int r = archive_read_data_block(in_.get(), &data, &size, &offset);
      if (r == ARCHIVE_EOF) break;
      if (r != ARCHIVE_OK) return archive_failure(in_.get(), "the job's output");
      if (archive_write_data_block(disk_.get(), data, size, offset) < ARCHIVE_WARN)
        return archive_failure(disk_.get(), path);
    }
    if (archive_write_finish_entry(disk_.get()) < ARCHIVE_WARN) return archive_failure(disk_.get(), path);
    return {};
  }

  std::string directory_;
  Reader in_;
  Writer disk_;
  Unpacked done_;
};

}  // namespace

Result<void> pack_tar(const std::string& directory, int fd, std::int64_t limit) {
  struct stat info{};
  if (::stat(directory.c_str(), &info) != 0) return Unexpected(errno_error("it cannot be read", errno, directory));
  if (!S_ISDIR(info.st_mode))
    return fail(ErrorCode::invalid, "it is no directory", directory, "--upload takes a directory.");
  // A link to a directory counts as that directory; and names below it are cut off at a known length.
  std::unique_ptr<char, decltype(&std::free)> real(::realpath(directory.c_str(), nullptr), std::free);
  if (!real) return Unexpected(errno_error("it cannot be read", errno, directory));
  return Packer(real.get(), fd, limit).pack();
}

Result<Unpacked> unpack_tar(int fd, const std::string& directory) {
  std::error_code ec;
  std::filesystem::create_directories(directory, ec);
  if (ec) return Unexpected(errno_error("it cannot be made", ec.value(), directory));
  // Links on the way to the directory are the user's own wish; below it none is followed.
  std::unique_ptr<char, decltype(&std::free)> real(::realpath(directory.c_str(), nullptr), std::free);
  if (!real) return Unexpected(errno_error("it cannot be used", errno, directory));
  return Unpacker(real.get()).unpack(fd);
}

}  // namespace mayfly
