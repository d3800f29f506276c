#pragma once
// A folder in the OCI image layout (image-spec, image-layout.md): what skopeo reads and writes as oci:FOLDER:NAME. Any
// thread, one writer at a time.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "base/result.h"

namespace mayfly::images {

inline constexpr const char* manifest_type = "application/vnd.oci.image.manifest.v1+json";
inline constexpr const char* index_type = "application/vnd.oci.image.index.v1+json";

struct Descriptor {
  std::string type, digest;
  std::int64_t bytes = 0;
  boost::json::object json() const;  // {"mediaType": …, "digest": …, "size": …}
};

std::string sha256_digest(std::string_view bytes);  // "sha256:" and 64 hex digits
bool is_sha256_digest(std::string_view text);

class OciLayout {
 public:
  explicit OciLayout(std::string folder) : folder_(std::move(folder)) {}
  const std::string& folder() const { return folder_; }
  // "oci:FOLDER:NAME", for skopeo.
  std::string reference(const std::string& name) const { return "oci:" + folder_ + ":" + name; }
  std::string blob_path(const std::string& digest) const;  // aborts on what is no digest

  // Checked against its digest; for manifests and configurations, not for layers.
  Result<std::string> read(const std::string& digest) const;
  // Which manifest or index bears this name; not_found: none.
  Result<Descriptor> find(const std::string& name) const;

  // Makes the folder where there is none.
  Result<void> create() const;
  Result<Descriptor> add(std::string_view bytes, const std::string& type) const;
  Result<void> set_name(const std::string& name, const Descriptor& what) const;

 private:
  std::string folder_;
};

}  // namespace mayfly::images
