#pragma once
// containers-storage's own records of images, read without its tools. Any thread.
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

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

// An image to which this platform gave names of its own, beside others' perhaps, when it fetched it.
struct StoredCopy {
  std::string top;                 // the directory of its topmost layer
  std::vector<std::string> names;  // its own
};
Result<std::vector<StoredCopy>> stored_copies(const StoragePlace& storage);
inline constexpr const char* fetched_prefix = "localhost/mayfly-fetched";

}  // namespace mayfly::local
