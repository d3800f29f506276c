#include "platforms/local/local_images.h"

#include <unistd.h>

#include <algorithm>

#include <boost/json.hpp>

#include "base/text.h"
#include "os/process.h"

namespace mayfly::local {
namespace {

namespace json = boost::json;

constexpr std::string_view storage_transport = "containers-storage:";

bool has_transport(const std::string& reference) {
  for (const char* transport : {"docker://", "oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "dir:"})
    if (reference.starts_with(transport)) return true;
  return false;
}

// Whether the tool said that there is no such image, rather than that it could not find out.
bool says_there_is_none(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  for (const char* none :
       {"manifest unknown", "name unknown", "not found", "no such file", "does not exist", "no descriptor found",
        "repository name not known", "requested access to the resource is denied", "invalid reference format"})
    if (text.find(none) != std::string::npos && text.find("no such host") == std::string::npos) return true;
  return false;
}

// skopeo's last line is `time="…" level=fatal msg="…"`; people need only the message.
std::string plain_message(const std::string& line) {
  const auto at = line.find("msg=\"");
  if (at == std::string::npos) return line;
  std::string text;
  for (std::size_t i = at + 5; i < line.size() && line[i] != '"'; ++i) {
    if (line[i] == '\\' && i + 1 < line.size()) ++i;
    text += line[i];
  }
  return text;
}

Error fetch_error(const std::string& source, const os::Finish& done) {
  const std::string message = plain_message(done.last_error_line());
  if (says_there_is_none(message))
    return {ErrorCode::not_found, "there is no such image: " + message, source,
            "Check its name and tag, and that you may read it"};
  return {ErrorCode::unavailable, "the image cannot be fetched: " + message, source,
          "Check that the registry can be reached from this host"};
}

}  // namespace

Result<StoragePlace> LocalImages::storage(Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (storage_) return *storage_;
  }
  MAYFLY_ASSIGN(const os::Finish done, os::run({.argv = {"buildah", "info"}, .deadline = deadline}));
  if (!done.ok())
    return fail(ErrorCode::unavailable,
                "buildah cannot say where images are kept: " + plain_message(done.last_error_line()), "buildah info");
  boost::system::error_code error;
  const json::value info = json::parse(done.out, error);
  const json::value* root = error ? nullptr : info.find_pointer("/store/GraphRoot", error);
  const json::value* driver = error ? nullptr : info.find_pointer("/store/GraphDriverName", error);
  if (!root || !driver || !root->is_string() || !driver->is_string())
    return fail(ErrorCode::unavailable, "buildah's answer does not say where images are kept", "buildah info");
  StoragePlace place{std::string(root->get_string()), std::string(driver->get_string())};
  if (place.driver != "overlay" && place.driver != "vfs")
    return fail(ErrorCode::unsupported,
                "images are kept by the storage driver " + place.driver + ", which Mayfly cannot use", "storage.conf",
                "Set driver = \"overlay\" in /etc/containers/storage.conf");
  const std::lock_guard lock(mutex_);
  storage_ = place;
  return place;
}

Result<StoredImage> LocalImages::fetch(const std::string& source, Deadline deadline) {
  MAYFLY_ASSIGN(const StoragePlace place, storage(deadline));
  // Named by its digest, so that the same image is stored once and a moved tag never changes an image in use.
  std::vector<std::string> inspect{"skopeo", "inspect", "--format", "{{.Digest}}", source};
  MAYFLY_ASSIGN(const os::Finish seen, os::run({.argv = inspect, .deadline = deadline}));
  if (!seen.ok()) return Unexpected(fetch_error(source, seen));
  const std::string digest(trim(seen.out));
  if (!digest.starts_with("sha256:") || digest.size() != 71)
    return fail(ErrorCode::unavailable, "skopeo gave no digest for the image", source);
  const std::string name = "localhost/mayfly-fetched:" + digest.substr(7, 40);
  MAYFLY_ASSIGN(auto found, find_stored_image(place, name));
  if (found) return *found;
  std::vector<std::string> copy{"skopeo", "copy", "--quiet", source, std::string(storage_transport) + name};
  if (access("/etc/containers/policy.json", R_OK) != 0)
    copy.insert(copy.begin() + 1, "--insecure-policy");  // as if it said "accept anything", its default
  MAYFLY_ASSIGN(const os::Finish done, os::run({.argv = copy, .deadline = deadline}));
  if (!done.ok()) return Unexpected(fetch_error(source, done));
  MAYFLY_ASSIGN(found, find_stored_image(place, name));
  if (!found) return fail(ErrorCode::unavailable, "the image was fetched, but is not in containers-storage", source);
  return *found;
}

Result<StoredImage> LocalImages::resolve(const std::string& reference, Deadline deadline) {
  if (has_transport(reference)) return fetch(reference, deadline);
  const bool stored_only = reference.starts_with(storage_transport);
  const std::string name = stored_only ? reference.substr(storage_transport.size()) : reference;
  if (name.empty()) return fail(ErrorCode::invalid, "an image needs a name", "image");
  MAYFLY_ASSIGN(const StoragePlace place, storage(deadline));
  MAYFLY_ASSIGN(auto found, find_stored_image(place, name));
  if (found) return *found;
  if (stored_only || name.starts_with("localhost/"))
    return fail(ErrorCode::not_found, "there is no such image in this host's containers-storage (" + place.root + ")",
                reference, "`buildah images` lists those that are there");
  auto fetched = fetch("docker://" + name, deadline);
  if (!fetched) {
    Error error = fetched.error();
    error.what = "not in this host's containers-storage, and " + error.what;
    return Unexpected(std::move(error));
  }
  return fetched;
}

Result<PlatformImage> LocalImages::prepare(const std::string& reference, Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (auto known = known_.find(reference); known != known_.end()) {
      if (layers_of(known->second)) return known->second;
      known_.erase(known);  // somebody removed the image from the storage
    }
  }
  MAYFLY_ASSIGN(StoredImage found, resolve(reference, deadline));
  json::array layers;
  for (const auto& layer : found.layers) layers.emplace_back(layer);
  PlatformImage image{reference, found.digest, std::move(found.env), found.user, json::serialize(layers)};
  MAYFLY_TRY(layers_of(image));
  const std::lock_guard lock(mutex_);
  if (known_.size() > 10'000) known_.clear();
  known_[reference] = image;
  return image;
}

Result<std::vector<std::string>> LocalImages::layers_of(const PlatformImage& image) {
  boost::system::error_code error;
  const json::value value = json::parse(image.handle, error);
  if (error || !value.is_array())
    return fail(ErrorCode::invalid, "this image was not prepared by this platform", image.reference);
  std::vector<std::string> layers;
  for (const auto& layer : value.get_array()) {
    layers.emplace_back(layer.is_string() ? std::string(layer.get_string()) : "");
    if (access(layers.back().c_str(), F_OK) != 0)
      return fail(ErrorCode::not_found, "a layer of the image is no longer in containers-storage",
                  image.reference + ": " + layers.back(), "It is fetched anew the next time");
  }
  return layers;
}

}  // namespace mayfly::local
