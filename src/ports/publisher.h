#pragma once
// Makes a version of an image ready for registries, and brings it there. Blocking; from worker threads, several at once
// on different registries.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/contents.h"
#include "ports/platform.h"

namespace mayfly {

// An image as every registry will have it: kept in the state directory until forget().
struct PackedImage {
  std::string digest;      // sha256:… of the manifest that is published, the same everywhere
  std::string source;      // sha256:… of the manifest that it was made from
  std::int64_t bytes = 0;  // of everything that a registry stores for it
  Contents contents;
};

// What the published provenance says about how the version came to be.
struct ReleaseFacts {
  std::string image, version;  // "general", "2.4.1"
  std::string recipe, commit;  // where the recipe lies, and its commit; may be empty
  std::string source_digest;   // of the image as the platform had it when it was released
  std::string released_by;
  std::vector<std::string> approved_by;
  Time released_at{};
  std::string builder_digest = {};                // of the image whose builder built it; may be empty
  std::map<std::string, std::string> bases = {};  // images that it was built FROM → their digests
};

struct PackOrder {
  std::string image;        // a name under images:
  std::string reference;    // what a platform can prepare()
  std::string compression;  // of layers: "zstd:chunked" or "gzip"
};

struct PublishOrder {
  PackOrder source;                   // to pack again should the packed image be gone
  std::string digest;                 // of a packed image
  std::string repository;             // "registry.example:5000/team/general"
  std::vector<std::string> channels;  // tags beside the version's own, moved last
  ReleaseFacts facts;
};

class Publisher {
 public:
  virtual ~Publisher() = default;
  // The same reference to the same image again gives the same digest, without doing the work twice.
  virtual Result<PackedImage> pack(const PackOrder& order, Deadline deadline) = 0;
  // Of an image packed before; not_found when it was forgotten.
  virtual Result<Contents> contents(const std::string& image, const std::string& digest) = 0;
  // On success the registry has answered with this very digest for the version's tag, the SBOM, provenance and
  // signature are attached, and the channels stand on it. Idempotent: what is there already is not sent again.
  // conflict: the version's tag stands on another digest, and is not touched.
  virtual Result<void> publish(const PublishOrder& order, Deadline deadline) = 0;
  // Removes what pack() kept; true even if there is nothing.
  virtual Result<void> forget(const std::string& image, const std::string& digest) = 0;
};

}  // namespace mayfly
