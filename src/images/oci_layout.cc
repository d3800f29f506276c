#include "images/oci_layout.h"

#include <unistd.h>

#include <boost/json.hpp>

#include "base/text.h"
#include "images/digest.h"
#include "model/json.h"
#include "os/file.h"

namespace mayfly::images {

namespace json = boost::json;

namespace {

constexpr std::size_t max_document = 4u << 20;  // what registries take as a manifest
constexpr std::string_view sha256_prefix = "sha256:";
constexpr const char* name_key = "org.opencontainers.image.ref.name";

Result<json::object> parse(const std::string& text, const std::string& where) {
  boost::system::error_code error;
  auto value = json::parse(text, error);
  if (error || !value.is_object()) return fail(ErrorCode::invalid, "this is not a JSON object", where);
  return std::move(value.as_object());
}

Result<json::array> names_of(const std::string& folder) {
  const auto path = folder + "/index.json";
  MAYFLY_ASSIGN(auto text, os::read_file(path, max_document));
  MAYFLY_ASSIGN(auto index, parse(text, path));
  auto* manifests = index.if_contains("manifests");
  if (!manifests || !manifests->is_array()) return fail(ErrorCode::invalid, "it lists no manifests", path);
  return std::move(manifests->as_array());
}

bool bears(const json::value& entry, const std::string& name) {
  if (!entry.is_object()) return false;
  auto* annotations = entry.as_object().if_contains("annotations");
  if (!annotations || !annotations->is_object()) return false;
  auto* own = annotations->as_object().if_contains(name_key);
  return own && own->is_string() && own->as_string() == name;
}

}  // namespace

json::object Descriptor::json() const { return {{"mediaType", type}, {"digest", digest}, {"size", bytes}}; }

std::string sha256_digest(std::string_view bytes) { return std::string(sha256_prefix) + sha256_hex(bytes); }

bool is_sha256_digest(std::string_view text) {
  return text.size() == 71 && text.starts_with(sha256_prefix) &&
         text.find_first_not_of("0123456789abcdef", sha256_prefix.size()) == std::string_view::npos;
}

std::string OciLayout::blob_path(const std::string& digest) const {
  MAYFLY_CHECK(is_sha256_digest(digest));  // it becomes part of a path
  return folder_ + "/blobs/sha256/" + digest.substr(sha256_prefix.size());
}

Result<std::string> OciLayout::read(const std::string& digest) const {
  if (!is_sha256_digest(digest)) return fail(ErrorCode::invalid, "'" + digest + "' is not a sha256 digest", folder_);
  MAYFLY_ASSIGN(auto bytes, os::read_file(blob_path(digest), max_document));
  if (sha256_digest(bytes) != digest)
    return fail(ErrorCode::invalid, "the file does not have the digest that is its name", blob_path(digest),
                "Its disk may be failing. Remove the folder: it is made anew.");
  return bytes;
}

Result<Descriptor> OciLayout::find(const std::string& name) const {
  MAYFLY_ASSIGN(auto entries, names_of(folder_));
  for (const auto& entry : entries) {
    if (!bears(entry, name)) continue;
    const auto& o = entry.as_object();
    auto* size = o.if_contains("size");
    return Descriptor{text_at(o, "mediaType"), text_at(o, "digest"), size && size->is_int64() ? size->as_int64() : 0};
  }
  return fail(ErrorCode::not_found, "nothing has the name '" + name + "'", folder_);
}

Result<void> OciLayout::create() const {
  MAYFLY_TRY(os::make_directories(folder_ + "/blobs/sha256"));
  if (::access((folder_ + "/index.json").c_str(), F_OK) == 0) return {};
  MAYFLY_TRY(os::write_file_atomically(folder_ + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  return os::write_file_atomically(folder_ + "/index.json", R"({"schemaVersion":2,"manifests":[]})");
}

Result<Descriptor> OciLayout::add(std::string_view bytes, const std::string& type) const {
  Descriptor d{type, sha256_digest(bytes), static_cast<std::int64_t>(bytes.size())};
  const auto path = blob_path(d.digest);
  if (::access(path.c_str(), F_OK) != 0) MAYFLY_TRY(os::write_file_atomically(path, bytes));
  return d;
}

Result<void> OciLayout::set_name(const std::string& name, const Descriptor& what) const {
  MAYFLY_ASSIGN(auto entries, names_of(folder_));
  json::array kept;
  for (auto& entry : entries)
    if (!bears(entry, name)) kept.push_back(std::move(entry));
  auto own = what.json();
  own["annotations"] = json::object{{name_key, name}};
  kept.push_back(std::move(own));
  return os::write_file_atomically(folder_ + "/index.json",
                                   json::serialize(json::object{{"schemaVersion", 2}, {"manifests", std::move(kept)}}));
}

}  // namespace mayfly::images
