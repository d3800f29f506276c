#pragma once
// From an image reference to the directories of its layers in the host's containers-storage. Any thread; a reference is
// resolved once and remembered for as long as its layers are there.
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "platforms/local/fetched_images.h"
#include "platforms/local/stored_image.h"
#include "ports/platform.h"

namespace mayfly::local {

class LocalImages {
 public:
  explicit LocalImages(const Log& log) : log_(log), fetched_(log) {}
  Result<PlatformImage> prepare(const std::string& reference, Deadline deadline);
  // The layers that a PlatformImage's handle stands for; not_found when they were removed meanwhile.
  static Result<std::vector<std::string>> layers_of(const PlatformImage& image);
  // The builder starts from these layers, or is over.
  void started(const std::string& builder, const std::vector<std::string>& layers);
  void ended(const std::string& builder) { fetched_.ended(builder); }
  // Removes fetched images that nothing has started from for a month, if another one was fetched since the last time.
  void sweep_if_grown();

 private:
  Result<StoragePlace> storage(Deadline deadline);
  Result<StoredImage> resolve(const std::string& reference, Deadline deadline);
  Result<std::optional<StoredImage>> used(const StoragePlace& place, const std::string& name);
  Result<StoredImage> fetch(const std::string& source, Deadline deadline);

  const Log& log_;
  std::mutex mutex_;
  std::optional<StoragePlace> storage_;
  std::map<std::string, PlatformImage> known_;
  bool grown_ = false;
  FetchedImages fetched_;
};

// The name under which an image from a registry is found again without the registry; empty: it comes from elsewhere.
std::string kept_name(const std::string& source);

}  // namespace mayfly::local
