#pragma once
// From an image reference to the directories of its layers in the host's containers-storage. Any thread; a reference is
// resolved once and remembered for as long as its layers are there.
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "ports/platform.h"

namespace mayfly::local {

struct StoragePlace {
  std::string root;    // e.g. /var/lib/containers/storage
  std::string driver;  // overlay, or vfs
};

struct StoredImage {
  std::string id, digest;
  std::vector<std::string> layers;  // directories, topmost first
  std::map<std::string, std::string> env;
  std::string user;
};

// Reads containers-storage's own records; changes nothing. nullopt: it has no image of that name.
Result<std::optional<StoredImage>> find_stored_image(const StoragePlace& storage, const std::string& name);

class LocalImages {
 public:
  explicit LocalImages(const Log& log) : log_(log) {}
  Result<PlatformImage> prepare(const std::string& reference, Deadline deadline);
  // The layers that a PlatformImage's handle stands for; not_found when they were removed meanwhile.
  static Result<std::vector<std::string>> layers_of(const PlatformImage& image);

 private:
  Result<StoragePlace> storage(Deadline deadline);
  Result<StoredImage> resolve(const std::string& reference, Deadline deadline);
  Result<StoredImage> fetch(const std::string& source, Deadline deadline);

  const Log& log_;
  std::mutex mutex_;
  std::optional<StoragePlace> storage_;
  std::map<std::string, PlatformImage> known_;
};

// The name under which an image from a registry is found again without the registry; empty: it comes from elsewhere.
std::string kept_name(const std::string& source);

}  // namespace mayfly::local
