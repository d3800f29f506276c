#include "platforms/local/local_images.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>

#include <boost/json.hpp>

#include "base/text.h"
#include "os/process.h"
#include "os/skopeo.h"

namespace mayfly::local {
namespace {

namespace json = boost::json;

constexpr std::string_view storage_transport = "containers-storage:";
constexpr std::string_view registry_transport = "docker://";
constexpr std::string_view pinned = "@sha256:";
constexpr Duration kept_unused = std::chrono::hours(24 * 30), sweep_limit = std::chrono::minutes(2);

bool has_transport(const std::string& reference) {
  for (const char* transport : {"docker://", "oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "dir:"})
    if (reference.starts_with(transport)) return true;
  return false;
}

Error fetch_error(const std::string& source, const os::Finish& done) {
  const std::string message = os::skopeo_message(done);
  if (os::says_there_is_none(message))
    return {ErrorCode::not_found, "there is no such image: " + message, source,
            "Check its name and tag, and that you may read it"};
  return {ErrorCode::unavailable, "the image cannot be fetched: " + message, source,
          "Check that the registry can be reached from this host"};
}

Result<std::string> remote_digest(const std::string& source, Deadline deadline) {
  auto argv = os::skopeo_command("inspect");
  if (os::is_loopback_registry(source)) argv.emplace_back("--tls-verify=false");
  argv.insert(argv.end(), {"--format", "{{.Digest}}", source});
  MAYFLY_ASSIGN(const os::Finish done, os::run({.argv = argv, .deadline = deadline}));
  if (!done.ok()) return Unexpected(fetch_error(source, done));
  const std::string digest(trim(done.out));
  if (!digest.starts_with("sha256:") || digest.size() != 71)
    return fail(ErrorCode::unavailable, "skopeo gave no digest for the image", source);
  return digest.substr(7);
}

Result<void> copy_image(const std::string& source, const std::string& name, Deadline deadline) {
  auto argv = os::skopeo_command("copy");
  if (os::is_loopback_registry(source)) argv.emplace_back("--src-tls-verify=false");
  argv.insert(argv.end(), {"--quiet", source, std::string(storage_transport) + name});
  MAYFLY_ASSIGN(const os::Finish done, os::run({.argv = argv, .deadline = deadline}));
  if (!done.ok()) return Unexpected(fetch_error(source, done));
  return {};
}

std::string fetched_name(const std::string& digest) { return fetched_prefix + (":" + digest.substr(0, 40)); }

}  // namespace

std::string kept_name(const std::string& source) {
  if (!source.starts_with(registry_transport) || source.find(pinned) != std::string::npos) return "";
  std::string name = source.substr(registry_transport.size());
  const auto slash = name.find('/');
  const auto last = name.rfind('/');
  const bool tagged = name.find(':', last == std::string::npos ? 0 : last) != std::string::npos;
  for (std::size_t i = 0; slash != std::string::npos && i < slash; ++i) {  // of a host only what a path may hold
    const auto c = static_cast<unsigned char>(name[i]);
    name[i] = std::isalnum(c) ? static_cast<char>(std::tolower(c)) : c == '.' ? '.' : '-';
  }
  while (name.starts_with("-")) name.erase(0, 1);
  for (auto at = name.find("-/"); at != std::string::npos; at = name.find("-/")) name.erase(at, 1);
  return fetched_prefix + ("/" + name) + (tagged ? "" : ":latest");
}

Result<StoragePlace> LocalImages::storage(Deadline deadline) {
  {
    const std::lock_guard lock(mutex_);
    if (storage_) return *storage_;
  }
  MAYFLY_ASSIGN(const os::Finish done, os::run({.argv = {"buildah", "info"}, .deadline = deadline}));
  if (!done.ok())
    return fail(ErrorCode::unavailable, "buildah cannot say where images are kept: " + os::skopeo_message(done),
                "buildah info");
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

// An image that was fetched before, kept from removal from now on.
Result<std::optional<StoredImage>> LocalImages::used(const StoragePlace& place, const std::string& name) {
  MAYFLY_ASSIGN(auto found, find_stored_image(place, name));
  if (!found) return found;
  MAYFLY_TRY(fetched_.use(place, found->layers.front()));
  return find_stored_image(place, name);  // somebody may have removed it before
}

void LocalImages::started(const std::string& builder, const std::vector<std::string>& layers) {
  if (!layers.empty()) fetched_.started(builder, layers.front());
}

void LocalImages::sweep_if_grown() {
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(grown_, false)) return;
  }
  if (auto place = storage(after(sweep_limit))) fetched_.sweep(*place, kept_unused, after(sweep_limit));
}

Result<StoredImage> LocalImages::fetch(const std::string& source, Deadline deadline) {
  MAYFLY_ASSIGN(const StoragePlace place, storage(deadline));
  const std::string kept = kept_name(source);
  if (const auto at = source.find(pinned); at != std::string::npos) {  // it can have changed nowhere
    MAYFLY_ASSIGN(auto found, used(place, fetched_name(source.substr(at + pinned.size()))));
    if (found) return *found;
  }
  auto digest = remote_digest(source, deadline);
  if (!digest && digest.error().code != ErrorCode::not_found && !kept.empty()) {
    MAYFLY_ASSIGN(auto found, used(place, kept));
    if (!found) return Unexpected(digest.error());
    log_.warning("{}; using the one that was fetched before ({})", digest.error().text(), found->digest);
    return *found;
  }
  if (!digest) return Unexpected(digest.error());
  // Named by its digest, so that the same image is stored once and a moved tag never changes an image in use.
  const std::string name = fetched_name(*digest);
  MAYFLY_ASSIGN(auto found, used(place, name));
  if (!found) {
    MAYFLY_TRY(copy_image(source, name, deadline));
    MAYFLY_ASSIGN(found, used(place, name));
    const std::lock_guard lock(mutex_);
    grown_ = true;
  }
  if (!found) return fail(ErrorCode::unavailable, "the image was fetched, but is not in containers-storage", source);
  if (!kept.empty()) {
    MAYFLY_ASSIGN(const auto before, find_stored_image(place, kept));
    if (!before || before->id != found->id)
      if (auto copied = copy_image(std::string(storage_transport) + name, kept, deadline); !copied)
        log_.debug("{} keeps no name of its own: {}", source, copied.error().text());
  }
  return *found;
}

Result<StoredImage> LocalImages::resolve(const std::string& reference, Deadline deadline) {
  if (has_transport(reference)) {
    auto found = fetch(reference, deadline);
    // The storage keeps one digest for each image, however many manifests lead to it: the one that came first, such as
    // that of a build on this host. What was asked for by digest is that digest.
    if (auto at = reference.find(pinned); found && reference.starts_with(registry_transport) && at != std::string::npos)
      found->digest = reference.substr(at + 1);
    return found;
  }
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
