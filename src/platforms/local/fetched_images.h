#pragma once
// Copies of images from registries and files, which this platform puts into containers-storage: removed when nobody has
// started from one for a month. The storage is the whole host's, so other daemons may use the same copy: each copy has
// a lease there, a file that its users hold a shared lock on and whose time is that of its last use. Any thread.
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/log.h"
#include "platforms/local/stored_image.h"
#include "ports/platform.h"

namespace mayfly::local {

class FetchedImages {
 public:
  explicit FetchedImages(const Log& log) : log_(log) {}

  // The image with this top layer's directory is used from now on, for as long as this process lives or until sweep()
  // finds it unused. Waits for whoever is removing it: look then whether it is there still.
  Result<void> use(const StoragePlace& storage, const std::string& top);
  // A builder starts from it, or is over.
  void started(const std::string& builder, const std::string& top);
  void ended(const std::string& builder);
  // Removes up to a few copies that nobody has used for `unused`.
  void sweep(const StoragePlace& storage, Duration unused, Deadline deadline);

 private:
  bool is_free(const std::string& top, const std::string& path, Duration unused);
  void remove(const StoredCopy& copy, const std::string& path, Duration unused, Deadline deadline);

  const Log& log_;
  std::mutex mutex_;
  struct Lease {
    std::string path;
    Fd file;  // locked, shared
  };
  std::map<std::string, Lease> leases_;          // by the top layer's directory
  std::map<std::string, std::string> builders_;  // → top layer
  std::mutex sweeping_;
};

}  // namespace mayfly::local
