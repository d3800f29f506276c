#pragma once
// One registry, as skopeo reaches it: read a tag's digest, and bring something under a tag so that it can be read back.
// Blocking; any thread.
#include <optional>
#include <string>

#include "base/result.h"
#include "images/oci_layout.h"
#include "ports/platform.h"

namespace mayfly::images {

// What manifest or index a reference ("docker://…", "containers-storage:…", "oci:…") leads to, as raw bytes.
Result<std::string> read_manifest(const std::string& reference, Deadline deadline);

// The digest that the registry has for REPOSITORY:TAG; nullopt: it has no such tag.
Result<std::optional<std::string>> digest_at(const std::string& repository, const std::string& tag, Deadline deadline);

// Copies what bears `name` in the layout to REPOSITORY:TAG byte by byte, then reads it back: on success the registry
// has answered with the expected digest. Blobs that the registry has are not sent again.
Result<void> bring(const OciLayout& layout, const std::string& name, const std::string& digest,
                   const std::string& repository, const std::string& tag, Deadline deadline);

// Fetches REPOSITORY:TAG into a layout under `name`; not_found: there is no such tag.
Result<void> fetch(const std::string& repository, const std::string& tag, const OciLayout& layout,
                   const std::string& name, Deadline deadline);

// Runs skopeo; `doing` ("the image cannot be sent") begins the error.
Result<std::string> skopeo(std::vector<std::string> argv, const std::string& doing, const std::string& where,
                           Deadline deadline);

}  // namespace mayfly::images
