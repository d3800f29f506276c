#include "images/built_layout.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>

#include <memory>
#include <regex>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "images/digest.h"
#include "images/oci_layout.h"
#include "model/json.h"
#include "os/file.h"

namespace mayfly {
namespace json = boost::json;
using images::is_sha256_digest;
namespace {

constexpr std::size_t max_document = 16u << 20;
constexpr std::int64_t max_output = 64ll << 30;
constexpr std::string_view ref_name = "org.opencontainers.image.ref.name";

std::vector<json::object> objects_at(const json::object& o, std::string_view key) {
  std::vector<json::object> out;
  if (const auto* v = o.if_contains(key); v && v->is_array())
    for (const auto& e : v->get_array())
      if (e.is_object()) out.push_back(e.get_object());
  return out;
}

std::string name_of(const json::object& descriptor) {
  const auto* a = descriptor.if_contains("annotations");
  return a && a->is_object() ? text_at(a->get_object(), ref_name) : "";
}

struct Close {
  void operator()(archive* a) const { archive_read_free(a); }
};

Unexpected tar_error(archive* a, const std::string& path) {
  const char* why = archive_error_string(a);
  return fail(ErrorCode::invalid, std::string("it is not a readable tar: ") + (why ? why : "?"), path);
}

Result<void> save(archive* a, const std::string& path) {
  MAYFLY_TRY(os::make_directories(path.substr(0, path.rfind('/'))));
  MAYFLY_ASSIGN(auto file, os::open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  const void* data = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  for (int r; (r = archive_read_data_block(a, &data, &size, &offset)) != ARCHIVE_EOF;) {
    if (r != ARCHIVE_OK) return tar_error(a, path);
    MAYFLY_TRY(os::write_all(file.get(), {static_cast<const char*>(data), size}, path));
  }
  return {};
}

}  // namespace

Result<void> walk_tar(const std::string& path, const std::function<Result<void>(archive*, archive_entry*)>& each) {
  std::unique_ptr<archive, Close> a(archive_read_new());
  MAYFLY_CHECK(a);
  archive_read_support_filter_all(a.get());
  archive_read_support_format_tar(a.get());
  archive_read_support_format_empty(a.get());
  if (archive_read_open_filename(a.get(), path.c_str(), 1u << 20) != ARCHIVE_OK) return tar_error(a.get(), path);
  archive_entry* entry = nullptr;
  for (int r; (r = archive_read_next_header(a.get(), &entry)) != ARCHIVE_EOF;) {
    if (r < ARCHIVE_WARN) return tar_error(a.get(), path);
    MAYFLY_TRY(each(a.get(), entry));
  }
  return {};
}

Result<json::object> BuiltLayout::read(const std::string& path) const {
  MAYFLY_ASSIGN(auto text, os::read_file(path, max_document));
  boost::system::error_code ec;
  auto value = json::parse(text, ec);
  if (ec || !value.is_object()) return fail(ErrorCode::invalid, "it is not the JSON that a layout has", path);
  return std::move(value.get_object());
}

Result<std::string> BuiltLayout::blob(const std::string& digest) const {
  if (!is_sha256_digest(digest)) return fail(ErrorCode::invalid, "'" + digest + "' is not a digest", directory_);
  return directory_ + "/blobs/sha256/" + digest.substr(7);
}

Result<std::vector<std::string>> BuiltLayout::names() const {
  MAYFLY_ASSIGN(auto index, read(directory_ + "/index.json"));
  std::vector<std::string> out;
  for (const auto& m : objects_at(index, "manifests"))
    if (auto name = name_of(m); !name.empty()) out.push_back(name);
  return out;
}

Result<std::string> BuiltLayout::digest(const std::string& name) const {
  MAYFLY_ASSIGN(auto index, read(directory_ + "/index.json"));
  for (const auto& m : objects_at(index, "manifests"))
    if (name_of(m) == name && is_sha256_digest(text_at(m, "digest"))) return text_at(m, "digest");
  return fail(ErrorCode::not_found, fmt::format("the layout has no image '{}'", name), directory_);
}

Result<BuiltLayout::Image> BuiltLayout::image(const std::string& name) const {
  Image out;
  MAYFLY_ASSIGN(out.digest, digest(name));
  MAYFLY_ASSIGN(auto path, blob(out.digest));
  MAYFLY_ASSIGN(auto text, os::read_file(path, max_document));
  if (images::sha256_digest(text) != out.digest)
    return fail(ErrorCode::invalid, "the manifest is not what its digest says", path);
  MAYFLY_ASSIGN(auto manifest, read(path));
  const auto* config = manifest.if_contains("config");
  if (!config || !config->is_object()) return fail(ErrorCode::invalid, "the manifest names no configuration", path);
  out.config_digest = text_at(config->get_object(), "digest");
  MAYFLY_ASSIGN(auto config_path, blob(out.config_digest));
  MAYFLY_ASSIGN(out.config, read(config_path));
  for (const auto& layer : objects_at(manifest, "layers")) {
    MAYFLY_ASSIGN(auto layer_path, blob(text_at(layer, "digest")));
    out.layers.push_back(std::move(layer_path));
  }
  return out;
}

Result<void> unpack_layout(const std::string& tar, const std::string& directory) {
  static const std::regex wanted(R"(^(?:\./)*(image/(?:index\.json|oci-layout|blobs/sha256/[0-9a-f]{64})|known)$)");
  MAYFLY_TRY(os::remove_tree(directory));
  std::int64_t total = 0;
  return walk_tar(tar, [&](archive* a, archive_entry* entry) -> Result<void> {
    const char* name = archive_entry_pathname(entry);
    std::cmatch m;
    if (!name || archive_entry_filetype(entry) != AE_IFREG || !std::regex_match(name, m, wanted)) return {};
    total += archive_entry_size(entry);
    if (total > max_output) return fail(ErrorCode::exhausted, "the image is larger than 64 GiB", tar);
    return save(a, directory + "/" + m[1].str());
  });
}

}  // namespace mayfly
