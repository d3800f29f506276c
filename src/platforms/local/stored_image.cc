// containers-storage on disk: <root>/<driver>-images/images.json, <root>/<driver>-layers/layers.json, and a directory a
// layer.
#include "platforms/local/stored_image.h"

#include <unistd.h>

#include <boost/json.hpp>

#include "base/text.h"
#include "model/json.h"
#include "os/file.h"

namespace mayfly::local {
namespace {

namespace json = boost::json;
constexpr std::size_t record_limit = 64u << 20;
constexpr std::size_t max_layers = 200;

Result<json::value> parse_file(const std::string& path) {
  MAYFLY_ASSIGN(const std::string text, os::read_file(path, record_limit));
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (error) return fail(ErrorCode::unavailable, "containers-storage's record is not JSON: " + error.message(), path);
  return value;
}

// What a person may call an image that podman or buildah lists as the last of these.
std::vector<std::string> candidates(const std::string& name) {
  const auto slash = name.rfind('/');
  const bool tagged = name.find('@') != std::string::npos ||
                      name.find(':', slash == std::string::npos ? 0 : slash) != std::string::npos;
  const std::string full = tagged ? name : name + ":latest";
  return {full, "localhost/" + full, "docker.io/library/" + full, "docker.io/" + full};
}

bool is_called(const json::object& image, const std::string& name) {
  const std::string id = text_at(image, "id"), digest = text_at(image, "digest");
  if (name == digest || name == "sha256:" + id || (name.size() >= 12 && id.starts_with(name))) return true;
  const auto* names = image.if_contains("names");
  if (!names || !names->is_array()) return false;
  const auto at = name.find('@');
  for (const auto& candidate : candidates(name))
    for (const auto& own : names->get_array()) {
      if (!own.is_string()) continue;
      const std::string_view known = own.get_string();
      if (known == candidate) return true;
      const auto repository = candidate.substr(0, candidate.find('@'));
      if (at != std::string::npos && name.substr(at + 1) == digest && known.substr(0, known.rfind(':')) == repository)
        return true;
    }
  return false;
}

Result<std::vector<std::string>> layer_directories(const StoragePlace& storage, const std::string& top) {
  MAYFLY_ASSIGN(const json::value records, parse_file(storage.root + "/" + storage.driver + "-layers/layers.json"));
  std::map<std::string, std::string> parents;
  if (records.is_array())
    for (const auto& record : records.get_array())
      if (record.is_object()) parents[text_at(record.get_object(), "id")] = text_at(record.get_object(), "parent");
  std::vector<std::string> directories;
  for (std::string id = top; !id.empty(); id = parents[id]) {
    if (!parents.contains(id) || directories.size() >= max_layers)
      return fail(ErrorCode::unavailable, "a layer of the image is missing from containers-storage",
                  storage.root + ": " + id, "Fetch the image anew");
    if (storage.driver == "vfs") return std::vector{storage.root + "/vfs/dir/" + id};  // complete in itself
    directories.push_back(storage.root + "/overlay/" + id + "/diff");
  }
  if (directories.empty()) return fail(ErrorCode::invalid, "the image has no layers", top);
  return directories;
}

Result<void> read_configuration(const StoragePlace& storage, StoredImage& image) {
  const std::string path =
      storage.root + "/" + storage.driver + "-images/" + image.id + "/=" + base64_encode("sha256:" + image.id);
  MAYFLY_ASSIGN(const json::value value, parse_file(path));
  const auto* config = value.is_object() ? value.get_object().if_contains("config") : nullptr;
  if (!config || !config->is_object()) return {};
  image.user = text_at(config->get_object(), "User");
  if (const auto* env = config->get_object().if_contains("Env"); env && env->is_array())
    for (const auto& entry : env->get_array()) {
      if (!entry.is_string()) continue;
      const std::string text(entry.get_string());
      if (const auto equals = text.find('='); equals != std::string::npos && equals > 0)
        image.env[text.substr(0, equals)] = text.substr(equals + 1);
    }
  return {};
}

}  // namespace

Result<std::optional<StoredImage>> find_stored_image(const StoragePlace& storage, const std::string& name) {
  auto records = parse_file(storage.root + "/" + storage.driver + "-images/images.json");
  if (!records && records.error().code == ErrorCode::not_found) return std::nullopt;  // a storage never used
  if (!records) return Unexpected(records.error());
  if (!records->is_array()) return std::nullopt;
  for (const auto& record : records->get_array()) {
    if (!record.is_object() || !is_called(record.get_object(), name)) continue;
    StoredImage image;
    image.id = text_at(record.get_object(), "id");
    image.digest = text_at(record.get_object(), "digest");
    MAYFLY_ASSIGN(image.layers, layer_directories(storage, text_at(record.get_object(), "layer")));
    MAYFLY_TRY(read_configuration(storage, image));
    return image;
  }
  return std::nullopt;
}

Result<std::vector<StoredCopy>> stored_copies(const StoragePlace& storage) {
  MAYFLY_ASSIGN(const json::value records, parse_file(storage.root + "/" + storage.driver + "-images/images.json"));
  std::vector<StoredCopy> out;
  if (!records.is_array()) return out;
  for (const auto& record : records.get_array()) {
    const auto* names = record.is_object() ? record.get_object().if_contains("names") : nullptr;
    if (!names || !names->is_array()) continue;
    StoredCopy copy;
    for (const auto& name : names->get_array())
      if (name.is_string() && std::string_view(name.get_string()).starts_with(fetched_prefix))
        copy.names.emplace_back(name.get_string());
    if (copy.names.empty()) continue;
    auto layers = layer_directories(storage, text_at(record.get_object(), "layer"));
    if (!layers) continue;
    copy.top = layers->front();
    out.push_back(std::move(copy));
  }
  return out;
}

}  // namespace mayfly::local
