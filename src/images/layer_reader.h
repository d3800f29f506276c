#pragma once
// Reads what is in an image from the layers of an OCI layout: no mount, no privilege, no network. Any thread.
#include "base/result.h"
#include "images/oci_layout.h"
#include "model/contents.h"

namespace mayfly::images {

// Of the image with this name in the layout; of an index, its image for this host, or else its first. A layer that
// cannot be read is an error; a package database that cannot be read is only said in Contents::note.
Result<Contents> read_contents(const OciLayout& layout, const std::string& name);

// The images of an index with this name, each for its platform; of a single image none.
struct IndexedImage {
  std::string platform;  // "linux/arm64"
  Descriptor image;
};
Result<std::vector<IndexedImage>> images_of_index(const OciLayout& layout, const std::string& name);
Result<Contents> read_contents(const OciLayout& layout, const Descriptor& image);

// The bytes of all blobs that the image consists of, as a registry stores them.
Result<std::int64_t> stored_bytes(const OciLayout& layout, const std::string& name);

// Whether this path, without a leading slash, is of a package database that read_contents() cannot read.
bool is_unread_database(std::string_view path);

// The package databases' own formats. What is only half installed is not there.
std::vector<Package> parse_dpkg_status(std::string_view text);
std::vector<Package> parse_apk_installed(std::string_view text);

}  // namespace mayfly::images
