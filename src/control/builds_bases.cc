// Images of Mayfly's that others are built FROM: built first, and followed.
#include <fmt/format.h>

#include "control/builds.h"

namespace mayfly {
namespace {

constexpr std::string_view own_images = "localhost/mayfly/";

// "localhost/mayfly/NAME" or "…:latest" → NAME. Another tag is a base like any other.
std::string own_image(const std::string& base) {
  if (!base.starts_with(own_images)) return "";
  auto name = base.substr(own_images.size());
  if (name.ends_with(":latest")) name.resize(name.size() - 7);
  return name.find(':') == std::string::npos && name.find('/') == std::string::npos ? name : "";
}

}  // namespace

// Images of Mayfly's that this one is built FROM: what it waits for, or what is wrong, or their digests.
std::optional<std::string> Builds::wait_for_bases(ImageBuild& b, const RecipeAt& recipe, std::string& problem) const {
  b.bases.clear();
  for (const auto& base : recipe.bases) {
    auto name = own_image(base);
    if (name.empty() || name == b.image || !parts_.config.images.contains(name)) continue;
    for (const auto& [other, o] : active_)
      if (o.image == name && o.release && other != b.id)
        return fmt::format("it is built FROM {}, and build {} of that is {}", name, other, to_string(o.state));
    auto status = parts_.core.image_status(name);
    if (!status || !status->channels.contains("latest")) {
      problem = fmt::format("it is built FROM {}, of which there is no released version. Build and release {} first.",
                            base, name);
      return std::nullopt;
    }
    for (const auto& v : status->versions)
      if (v.number.text() == status->channels["latest"]) b.bases[name] = v.digest;
  }
  return std::nullopt;
}

// Whether the base has a higher version than the one with this digest. One that was withdrawn is not followed back:
// what was built from it is rolled back by whoever wants that.
bool Builds::is_outdated(const std::string& base, const std::string& digest) const {
  auto status = parts_.core.image_status(base, false);
  if (!status || !status->channels.contains("latest")) return false;
  auto latest = SemVer::parse(status->channels["latest"]).value();
  for (const auto& v : status->versions)
    if (v.digest == digest && v.number >= latest) return false;
  return true;
}

// Whether the image was built from bases that have a newer version now, and nobody has tried to build it from that.
bool Builds::is_behind(const std::string& image) const {
  for (const auto& b : recent(image)) {
    if (!b.release) continue;
    if (b.state == BuildState::queued) return false;  // it will take what is the latest then
    if (b.state == BuildState::cancelled && b.trigger == BuildTrigger::base) return false;
    bool outdated = false;
    for (const auto& [base, digest] : b.bases) outdated |= is_outdated(base, digest);
    if (b.state == BuildState::released || (!b.bases.empty() && !outdated)) return outdated;
  }
  return false;
}

// Whatever made the new version, and also where a daemon was killed between a release and this.
void Builds::follow_bases() {
  followed_ = parts_.core.releases_made();
  for (const auto& [name, image] : parts_.config.images)
    if (!image.recipe.empty() && is_behind(name))
      if (auto made = create({name, "", BuildTrigger::base, "", false})) advance(made->id);
}

}  // namespace mayfly
