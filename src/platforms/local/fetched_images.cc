#include "platforms/local/fetched_images.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "base/text.h"
#include "os/file.h"
#include "os/process.h"

namespace mayfly::local {
namespace {

constexpr std::size_t at_once = 5;  // whoever fetched something waits for it
constexpr int max_tries = 100;      // to hold a lease that others remove meanwhile

// "…/overlay/ID/diff" and "…/vfs/dir/ID" → a file by that ID.
std::string lease_of(const std::string& root, std::string top) {
  if (top.ends_with("/diff")) top.resize(top.size() - 5);
  return root + "/mayfly-fetched/" + top.substr(top.rfind('/') + 1);
}

Result<Fd> open_lease(const std::string& path) {
  return os::open_file(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

void touch(const std::string& path) { (void)::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW); }

Duration unused_for(const struct stat& info) {
  return std::chrono::seconds(std::max<std::time_t>(0, std::time(nullptr) - info.st_mtim.tv_sec));
}

}  // namespace

Result<void> FetchedImages::use(const StoragePlace& storage, const std::string& top) {
  const auto path = lease_of(storage.root, top);
  {
    const std::lock_guard lock(mutex_);
    if (leases_.contains(top)) return touch(path), Result<void>();
  }
  MAYFLY_TRY(os::make_directories(storage.root + "/mayfly-fetched"));
  for (int tries = 0; tries < max_tries; ++tries) {
    MAYFLY_ASSIGN(auto file, open_lease(path));
    struct stat info{};
    if (::flock(file.get(), LOCK_SH) != 0 || ::fstat(file.get(), &info) != 0)
      return Unexpected(errno_error("an image cannot be kept from removal", errno, path));
    if (info.st_nlink == 0) continue;  // it was removed with its image
    touch(path);
    const std::lock_guard lock(mutex_);
    leases_.emplace(top, Lease{path, std::move(file)});
    return {};
  }
  return fail(ErrorCode::unavailable, "an image is removed again and again", path);
}

void FetchedImages::started(const std::string& builder, const std::string& top) {
  const std::lock_guard lock(mutex_);
  builders_[builder] = top;
  if (auto lease = leases_.find(top); lease != leases_.end()) touch(lease->second.path);
}

void FetchedImages::ended(const std::string& builder) {
  const std::lock_guard lock(mutex_);
  builders_.erase(builder);
}

// Whether this process does without it; then its own lock is given up.
bool FetchedImages::is_free(const std::string& top, const std::string& path, Duration unused) {
  const std::lock_guard lock(mutex_);
  for (const auto& [builder, its] : builders_)
    if (its == top) return touch(path), false;
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    (void)open_lease(path);  // it was fetched before there were leases: its time begins now
    return false;
  }
  if (unused_for(info) < unused) return false;
  leases_.erase(top);
  return true;
}

void FetchedImages::sweep(const StoragePlace& storage, Duration unused, Deadline deadline) {
  const std::lock_guard one(sweeping_);
  auto copies = stored_copies(storage);
  if (!copies || !os::make_directories(storage.root + "/mayfly-fetched")) return;
  std::size_t removed = 0;
  for (const auto& copy : *copies) {
    const auto path = lease_of(storage.root, copy.top);
    if (removed >= at_once || std::chrono::steady_clock::now() >= deadline) return;
    if (!is_free(copy.top, path, unused)) continue;
    ++removed;
    remove(copy, path, unused, deadline);
  }
}

void FetchedImages::remove(const StoredCopy& copy, const std::string& path, Duration unused, Deadline deadline) {
  auto file = open_lease(path);
  struct stat info{};
  if (!file || ::flock(file->get(), LOCK_EX | LOCK_NB) != 0) return;  // another daemon uses it
  if (::fstat(file->get(), &info) != 0 || info.st_nlink == 0 || unused_for(info) < unused) return;
  std::vector<std::string> argv{"buildah", "rmi"};
  argv.insert(argv.end(), copy.names.begin(), copy.names.end());
  auto done = os::run({.argv = argv, .deadline = deadline});
  if (!done || !done->ok()) {
    log_.warning("the fetched image {} is not removed yet: {}", copy.names.front(),
                 done ? done->last_error_line() : done.error().text());
    return;
  }
  (void)::unlink(path.c_str());
  log_.info("the fetched image {} is removed: nothing has started from it for {}", join(copy.names, ", "),
            format_duration(unused_for(info)));
}

}  // namespace mayfly::local
