// Versions of images: released, listed, withdrawn.
#include <algorithm>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "base/text.h"
#include "control/core.h"

namespace mayfly {
namespace json = boost::json;
namespace {

constexpr int max_releases = 16;              // being resolved at once: each may hold a platform's worker for long
constexpr std::size_t max_versions = 10'000;  // of one image
constexpr int versions_with_jobs = 5;
constexpr std::size_t jobs_looked_at = 100;  // of one version

std::string subject(const std::string& image) { return "image/" + image; }

}  // namespace

// The moving names of an image's versions: latest, 2, 2.4.
std::map<std::string, std::string> Core::channels_of(const std::string& image) const {
  std::map<std::string, std::string> out;
  auto found = versions_.find(image);
  if (found == versions_.end()) return out;
  for (const auto& [number, v] : found->second) {  // from the lowest: the last one to claim a name keeps it
    if (v.state != VersionState::released || !number.pre.empty()) continue;
    for (auto name :
         {std::string("latest"), fmt::format("{}", number.major), fmt::format("{}.{}", number.major, number.minor)})
      out[name] = number.text();
  }
  return out;
}

Result<const ImageSpec*> Core::known_image(const std::string& name) const {
  auto found = parts_.config.images.find(name);
  if (found != parts_.config.images.end()) return &found->second;
  auto near = nearest(name, keys_of(parts_.config.images));
  return fail(ErrorCode::not_found, fmt::format("there is no image '{}' in the configuration", name), "image",
              near ? fmt::format("Did you mean '{}'?", *near) : fmt::format("Add '{}: {{}}' under 'images:'.", name));
}

// The reference is resolved before anything is promised: a version without its digest would be no version.
void Core::release(ReleaseRequest request, std::string who, Done<ImageVersion> done) {
  if (auto known = known_image(request.image); !known) return done(Unexpected(known.error()));
  if (request.reference.empty())
    return done(fail(ErrorCode::invalid, "a version needs the reference of what was built", "image",
                     "Give one that the platform can prepare, such as docker://HOST/NAME:TAG."));
  if (releases_ >= max_releases)
    return done(fail(ErrorCode::exhausted, fmt::format("{} releases are being resolved already", releases_), "image",
                     "Try again when they are done."));
  std::string platform = platforms_.begin()->first;
  for (const auto& [name, pool] : parts_.config.pools)
    if (split_image(pool.image).first == request.image) platform = pool.platform;
  ++releases_;
  effect("release.resolve", [this, platform, request = std::move(request), who = std::move(who), done] {
    executor_.prepare(platform, request.reference, nullptr, [this, request, who, done](Result<PlatformImage> image) {
      auto known = known_image(request.image);  // the configuration may have changed meanwhile
      if (image && known && parts_.publisher && (!(*known)->publish.empty() || !(*known)->provides.empty()))
        return pack(request, **known, who, image->digest, done);
      --releases_;
      auto version = image ? resolved(request, who, image->digest) : Unexpected(image.error());
      effect("release.reply", [version, done] { done(version); });
    });
  });
}

Result<ImageVersion> Core::resolved(const ReleaseRequest& request, const std::string& who, const std::string& digest) {
  MAYFLY_TRY(known_image(request.image));
  auto& versions = versions_[request.image];
  std::optional<SemVer> last;
  for (const auto& [number, v] : versions) {
    if (number.pre.empty() || !last) last = number;
    // Said twice, after a broken line perhaps: it is the same release.
    bool same = request.number ? number == *request.number : v.state == VersionState::released;
    if (same && v.digest == digest && v.state == VersionState::released) return v;
    if (request.number && number == *request.number && v.digest != digest)
      return fail(ErrorCode::conflict,
                  fmt::format("version {} of '{}' is {} already, and this is {}", number.text(), request.image,
                              v.digest, digest),
                  "image", "Give it another version.");
  }
  if (versions.size() >= max_versions)
    return fail(ErrorCode::exhausted, fmt::format("image '{}' has {} versions", request.image, versions.size()),
                "image");
  ImageVersion v;  // also of one that was withdrawn and is released once more
  v.image = request.image;
  v.number = request.number.value_or(next_version(last, request.level));
  v.digest = digest;
  v.reference = request.reference;
  v.commit = request.commit;
  v.released_by = who;
  v.approved_by = request.approved_by;
  v.builder_digest = request.builder_digest;
  v.bases = request.bases;
  v.released_at = now();
  record("image.released", subject(v.image),
         json::serialize(json::object{{"version", v.number.text()},
                                      {"digest", v.digest},
                                      {"reference", v.reference},
                                      {"commit", v.commit},
                                      {"by", who},
                                      {"builder_digest", v.builder_digest},
                                      {"bases", json::value_from(v.bases)},
                                      {"approved_by", json::value_from(v.approved_by)}}));
  parts_.log.info("image {}: version {} is released ({})", v.image, v.number.text(), v.digest.substr(0, 19));
  batch_.versions.push_back(v);
  versions[v.number] = v;
  versions_changed_ = true;
  ++releases_made_;
  return v;
}

// Back to an earlier version: those above it are withdrawn, and whoever follows a range moves back by itself.
void Core::withdraw_after(const std::string& image, std::optional<SemVer> to, const std::string& who,
                          Done<ImageStatus> done) {
  if (auto known = known_image(image); !known) return done(Unexpected(known.error()));
  auto& versions = versions_[image];
  std::vector<SemVer> released;
  for (const auto& [number, v] : versions)
    if (v.state == VersionState::released) released.push_back(number);
  if (!to && released.size() < 2)
    return done(fail(ErrorCode::conflict, fmt::format("image '{}' has no version before this one", image), "image"));
  if (!to) to = released[released.size() - 2];
  if (std::find(released.begin(), released.end(), *to) == released.end())
    return done(fail(ErrorCode::not_found, fmt::format("image '{}' has no released version {}", image, to->text()),
                     "image", fmt::format("`mayfly image list {}` shows them.", image)));
  json::array gone;
  for (const auto& number : released) {
    if (number <= *to) continue;
    auto& v = versions.at(number);
    v.state = VersionState::withdrawn;
    v.withdrawn_at = now();
    v.withdrawn_why = fmt::format("{} went back to {}", who, to->text());
    batch_.versions.push_back(v);
    gone.emplace_back(number.text());
  }
  next_publish_ = {};
  record("image.rolled-back", subject(image),
         json::serialize(json::object{{"to", to->text()}, {"withdrawn", gone}, {"by", who}}));
  versions_changed_ = true;
  effect("image.reply", [this, image, done] { done(image_status(image)); });
}

// Which pools have to do with which version of the image, and which jobs failed on it of late. Jobs only of the
// highest few: each costs a look into the store.
std::vector<VersionUse> Core::uses_of(const std::string& image, bool jobs_too) const {
  std::map<SemVer, VersionUse> uses;
  auto add = [&](const SemVer& number, const PoolName& pool) {
    auto& use = uses[number];
    if (std::find(use.pools.begin(), use.pools.end(), pool) == use.pools.end()) use.pools.push_back(pool);
  };
  for (const auto& [name, spec] : parts_.config.pools) {
    const auto* stands = stands_in(spec, image);
    if (!stands) continue;
    if (stands->current) add(*stands->current, name);
    if (const auto& r = stands->rollout; r && !is_over(r->state)) add(r->to, name);
  }
  for (const auto& [id, b] : builders_) {
    auto [its_image, number] = split_image(b.image_version);
    if (auto v = SemVer::parse(number); v && its_image == image) add(*v, b.pool);
  }
  auto found = versions_.find(image);
  int looked_at = 0;
  if (jobs_too && found != versions_.end())
    for (auto at = found->second.rbegin(); at != found->second.rend(); ++at) {
      if (++looked_at > versions_with_jobs && !uses.contains(at->first)) continue;
      auto jobs = parts_.store.jobs(
          {.ended = true, .image_version = fmt::format("{}@{}", image, at->first.text()), .limit = jobs_looked_at});
      if (!jobs) break;
      for (const auto& job : *jobs)
        if (counts_as_failure(job).value_or(false)) uses[at->first].failed_jobs.push_back(job.id);
    }
  std::vector<VersionUse> out;
  for (auto& [number, use] : uses) {
    use.number = number;
    out.push_back(std::move(use));
  }
  return out;
}

Result<ImageStatus> Core::image_status(const std::string& name, bool jobs_too) const {
  MAYFLY_ASSIGN(const ImageSpec* spec, known_image(name));
  ImageStatus out;
  out.name = name;
  out.recipe = spec->recipe;
  if (auto found = versions_.find(name); found != versions_.end()) {
    for (const auto& [number, v] : found->second) out.versions.push_back(v);
    out.channels = channels_of(name);
  }
  std::reverse(out.versions.begin(), out.versions.end());
  for (const auto& [key, p] : publications_)
    if (p.image == name) out.publications.push_back(p);
  out.uses = uses_of(name, jobs_too);
  for (const auto& view : roster_.seen().pools)
    if (!view.held.empty() && view.spec && split_image(view.spec->image).first == name) out.held[view.name] = view.held;
  return out;
}

std::vector<ImageStatus> Core::images() const {
  std::vector<ImageStatus> out;
  for (const auto& [name, spec] : parts_.config.images) out.push_back(image_status(name, false).value());
  return out;
}

}  // namespace mayfly
