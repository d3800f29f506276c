#pragma once
// An OCI layout on disk: index.json, oci-layout, blobs/. Reads only what it says of itself. Any thread.
#include <functional>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "base/result.h"

struct archive;
struct archive_entry;

namespace mayfly {

class BuiltLayout {
 public:
  explicit BuiltLayout(std::string directory) : directory_(std::move(directory)) {}

  Result<std::vector<std::string>> names() const;
  // The digest of the manifest with this name.
  Result<std::string> digest(const std::string& name) const;

  struct Image {
    std::string digest, config_digest;
    boost::json::object config;       // as the image has it, with `config`, `history`, …
    std::vector<std::string> layers;  // paths of blobs, lowest first
  };
  Result<Image> image(const std::string& name) const;

 private:
  Result<boost::json::object> read(const std::string& path) const;
  Result<std::string> blob(const std::string& digest) const;
  std::string directory_;
};

// Calls `each` for every entry of a tar, compressed or not; it may read the entry's bytes. Its error ends the walk.
Result<void> walk_tar(const std::string& path, const std::function<Result<void>(archive*, archive_entry*)>& each);

// Of a builder's output only what belongs to a layout in `image/`, and the file `known`: whatever else a job wrote
// stays out.
Result<void> unpack_layout(const std::string& tar, const std::string& directory);

}  // namespace mayfly
