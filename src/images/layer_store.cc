#include "images/layer_store.h"

#include <sys/xattr.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <set>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "base/text.h"
#include "model/json.h"
#include "os/file.h"
#include "os/process.h"

namespace mayfly {
namespace fs = std::filesystem;
namespace json = boost::json;

namespace {
// Else each store leaves a mount of itself behind, for as long as the host is up.
constexpr const char* no_mount = "overlay.skip_mount_home=true";
constexpr std::size_t max_list = 1u << 20;

// A folder that a layer put in another's place carries an attribute which an overlay in a user namespace, such as a
// builder's, does not read: all that was removed would be there again. What that reads is set beside it.
Result<void> show_replaced_in(const fs::path& layer) {
  std::error_code ec;
  for (fs::recursive_directory_iterator it(layer, ec), end; !ec && it != end; it.increment(ec)) {
    char value = 0;
    if (!it->is_directory(ec) || it->is_symlink(ec)) continue;
    if (lgetxattr(it->path().c_str(), "trusted.overlay.opaque", &value, 1) != 1 || value != 'y') continue;
    if (lsetxattr(it->path().c_str(), "user.overlay.opaque", &value, 1, 0) != 0)
      return Unexpected(errno_error("cannot mark a replaced folder", errno, it->path()));
  }
  if (ec) return fail(ErrorCode::internal, "a shared layer cannot be read: " + ec.message(), layer);
  return {};
}
}  // namespace

// The policy file's absence means "accept anything", as if it said so, which is its default.
std::vector<std::string> skopeo_command(const std::string& command) {
  std::vector<std::string> argv{"skopeo"};
  if (access("/etc/containers/policy.json", R_OK) != 0) argv.emplace_back("--insecure-policy");
  argv.push_back(command);
  return argv;
}

Result<std::string> digest_of(const std::string& reference, Deadline deadline) {
  auto argv = skopeo_command("inspect");
  argv.insert(argv.end(), {"--format", "{{.Digest}}", reference});
  MAYFLY_ASSIGN(auto done, os::run({.argv = argv, .deadline = deadline}));
  return done.ok() ? std::string(trim(done.out)) : "";
}

std::string LayerStore::name_in_store(const std::string& name) const {
  return fmt::format("containers-storage:[overlay@{}+{}/run:{}]{}", root(), directory_, no_mount, name);
}

Result<void> LayerStore::put(const std::string& from, const std::string& name, Deadline deadline) {
  auto argv = skopeo_command("copy");
  argv.insert(argv.end(), {"--quiet", from, name_in_store(name)});
  MAYFLY_ASSIGN(auto done, os::run({.argv = argv, .deadline = deadline}));
  if (!done.ok()) return fail(ErrorCode::unavailable, "an image cannot be copied: " + done.last_error_line(), from);
  return show_replaced();
}

// Of each layer once, though a daemon may have been killed in between.
Result<void> LayerStore::show_replaced() {
  MAYFLY_TRY(os::make_directories(directory_ + "/shown"));
  std::error_code ec;
  for (fs::directory_iterator it(root() + "/overlay", ec), end; !ec && it != end; it.increment(ec)) {
    const auto note = directory_ + "/shown/" + it->path().filename().string();
    if (!fs::exists(it->path() / "diff") || fs::exists(note)) continue;
    MAYFLY_TRY(show_replaced_in(it->path() / "diff"));
    MAYFLY_TRY(os::write_file_atomically(note, ""));
  }
  if (ec) return fail(ErrorCode::internal, "the shared layers cannot be listed: " + ec.message(), root());
  return {};
}

Result<void> LayerStore::ensure(Deadline deadline) {
  const std::lock_guard lock(mutex_);
  MAYFLY_TRY(os::make_directories(directory_));
  if (fs::exists(root() + "/overlay-images/images.lock")) return {};
  MAYFLY_ASSIGN(auto done, os::run({.argv = {"buildah", "--root", root(), "--runroot", directory_ + "/run",
                                             "--storage-driver", "overlay", "--storage-opt", no_mount, "images"},
                                    .deadline = deadline}));
  if (!done.ok())
    return fail(ErrorCode::unavailable, "the store for shared layers cannot be made: " + done.last_error_line(),
                root());
  return {};
}

Result<void> LayerStore::add_base(const std::string& name, Deadline deadline) {
  if (!name.starts_with("localhost/")) return {};
  const std::lock_guard lock(mutex_);
  MAYFLY_ASSIGN(auto here, digest_of("containers-storage:" + name, deadline));
  MAYFLY_ASSIGN(auto there, digest_of(name_in_store(name), deadline));
  if (here.empty() && there.empty())
    return fail(ErrorCode::invalid, fmt::format("the base image {} is not in this host's storage", name), "FROM",
                "`buildah images` lists those that are there.");
  if (here.empty() || here == there) return {};
  return put("containers-storage:" + name, name, deadline);
}

Result<void> LayerStore::add_image(const std::string& layout, const std::string& name, BuildId build,
                                   Deadline deadline) {
  const std::lock_guard lock(mutex_);
  const auto repository = "localhost/mayfly/" + name;
  std::map<std::string, std::string> images;  // names here → names there
  MAYFLY_ASSIGN(auto names, BuiltLayout(layout).names());
  for (const auto& n : names) {
    // A step's name carries its digest: a later build's steps must not take the names of this one's away.
    MAYFLY_ASSIGN(auto digest, BuiltLayout(layout).digest(n));
    images[n == "final" ? fmt::format("{}-build:{}", repository, build)
                        : repository + "-step:" + digest.substr(7, 20)] = n;
  }
  // First what is to be removed one day, then what is there.
  std::string list;
  for (const auto& [here, there] : images) list += here + "\n";
  MAYFLY_TRY(os::make_directories(offers()));
  MAYFLY_TRY(os::write_file_atomically(fmt::format("{}/{}", offers(), build), list));
  for (const auto& [here, there] : images) MAYFLY_TRY(put("oci:" + layout + ":" + there, here, deadline));
  return put("oci:" + layout + ":final", repository + ":latest", deadline);
}

Result<void> LayerStore::forget(BuildId build, const std::string& reference, Deadline deadline) {
  const std::lock_guard lock(mutex_);
  const auto own = fmt::format("{}/{}", offers(), build);
  if (!fs::exists(own)) return {};
  std::set<std::string> going;
  std::error_code ec;
  for (bool theirs : {false, true})
    for (fs::directory_iterator it(offers(), ec), end; !ec && it != end; it.increment(ec)) {
      if ((it->path() == own) == theirs) continue;
      MAYFLY_ASSIGN(auto text, os::read_file(it->path(), max_list));
      for (const auto& line : split(text, '\n'))
        theirs ? (void)going.erase(line) : (void)(line.empty() || going.insert(line).second);
    }
  for (const auto& name : going) {
    MAYFLY_ASSIGN(auto done, os::run({.argv = {"buildah", "--root", root(), "--runroot", directory_ + "/run",
                                               "--storage-driver", "overlay", "--storage-opt", no_mount, "rmi", name},
                                      .deadline = deadline}));
    if (!done.ok() && done.err.find("image not known") == std::string::npos)
      return fail(ErrorCode::unavailable, "a layer cannot be removed: " + done.last_error_line(), name);
  }
  for (fs::directory_iterator it(directory_ + "/known", ec), end; !ec && it != end; it.increment(ec))
    if (auto known = recall(it->path().filename()); known && known->reference == reference)
      MAYFLY_TRY(os::remove_tree(it->path()));
  return os::remove_tree(own);
}

Result<void> LayerStore::remember(const std::string& image_id, const Known& known) {
  MAYFLY_TRY(os::make_directories(directory_ + "/known"));
  return os::write_file_atomically(
      directory_ + "/known/" + image_id,
      json::serialize(json::object{{"digest", known.digest}, {"reference", known.reference}}));
}

Result<LayerStore::Known> LayerStore::recall(const std::string& image_id) const {
  if (image_id.size() != 64 || image_id.find_first_not_of("0123456789abcdef") != std::string::npos)
    return fail(ErrorCode::invalid, "the builder names no image", "known");
  MAYFLY_ASSIGN(auto text, os::read_file(directory_ + "/known/" + image_id, 4096));
  boost::system::error_code ec;
  auto value = json::parse(text, ec);
  if (ec || !value.is_object()) return fail(ErrorCode::internal, "the record of a released image is damaged", image_id);
  const auto& known = value.get_object();
  return Known{text_at(known, "digest"), text_at(known, "reference")};
}

}  // namespace mayfly
