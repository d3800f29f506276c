// Versions on their way to registries: which are due, what became of each try, and where the channels stand.
#include <algorithm>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "control/core.h"
#include "plan/release.h"

namespace mayfly {
namespace json = boost::json;
namespace {

constexpr std::size_t max_publishing = 8;  // at once; each holds a worker and a skopeo
constexpr Duration pack_limit = std::chrono::minutes(60);
constexpr Duration publish_limit = std::chrono::hours(6);  // the publisher's own patience is what ends a hung exchange

// Channels that mean this version and were not led there yet.
std::vector<std::string> outstanding(const Publication& p, const std::map<std::string, std::string>& channels) {
  std::vector<std::string> out;
  for (const auto& [name, version] : channels)
    if (version == p.number.text() && std::find(p.channels.begin(), p.channels.end(), name) == p.channels.end())
      out.push_back(name);
  return out;
}

}  // namespace

// What a new version holds is compared with what the last one held, away from the control thread.
void Core::pack(ReleaseRequest request, const ImageSpec& spec, std::string who, std::string digest,
                Done<ImageVersion> done) {
  PackOrder order{request.image, request.reference, spec.compression};
  std::string before;
  for (const auto& [number, v] : versions_[request.image])
    if (number.pre.empty() && !v.published_digest.empty()) before = v.published_digest;
  struct Outcome {
    Result<PackedImage> packed;
    std::optional<Contents> before;
  };
  auto outcome = std::make_shared<Outcome>();
  executor_.registry(
      [publisher = parts_.publisher, order, before, outcome] {
        outcome->packed = publisher->pack(order, after(pack_limit));
        if (before.empty() || !outcome->packed) return;
        if (auto contents = publisher->contents(order.image, before)) outcome->before = std::move(*contents);
      },
      [this, request, who, digest, done, outcome]() mutable {
        --releases_;
        Result<ImageVersion> version = fail(ErrorCode::internal, "it was not packed");
        if (!outcome->packed)
          version = Unexpected(outcome->packed.error());
        else
          version = packed(std::move(request), who, digest, *outcome->packed, outcome->before);
        effect("release.reply", [version, done] { done(version); });
      });
}

Result<ImageVersion> Core::packed(ReleaseRequest request, const std::string& who, const std::string& digest,
                                  const PackedImage& image, const std::optional<Contents>& before) {
  MAYFLY_ASSIGN(const ImageSpec* spec, known_image(request.image));
  plan::LevelChoice choice{request.level, {}};
  if (before) choice = plan::release_level(request.level, *before, image.contents, spec->provides);
  request.level = choice.level;
  MAYFLY_ASSIGN(auto version, resolved(request, who, digest));
  auto& kept = versions_[request.image].at(version.number);
  if (kept.published_digest == image.digest) return kept;  // said twice
  kept.published_digest = image.digest;
  kept.bytes = image.bytes;
  batch_.versions.push_back(kept);
  json::array why;
  for (const auto& reason : choice.why) why.emplace_back(reason);
  record("image.packed", "image/" + kept.image,
         json::serialize(json::object{{"version", kept.number.text()},
                                      {"digest", kept.digest},
                                      {"published_digest", kept.published_digest},
                                      {"bytes", kept.bytes},
                                      {"level", to_string(choice.level)},
                                      {"because", std::move(why)}}));
  begin_publishing(kept);
  next_sweep_ = {};  // one more than are kept, perhaps
  return kept;
}

// The intent, in the same commit as the version itself: whatever happens to the daemon, it is gone through with.
void Core::begin_publishing(const ImageVersion& v) {
  auto spec = parts_.config.images.find(v.image);
  if (spec == parts_.config.images.end() || v.published_digest.empty() || !parts_.publisher) return;
  for (const auto& repository : spec->second.publish) {
    Publication p;
    p.image = v.image;
    p.number = v.number;
    p.repository = repository;
    if (!publications_.try_emplace({v.image, v.number, repository}, p).second) continue;
    batch_.publications.push_back(p);
  }
  next_publish_ = {};
}

// A registry that was added to the configuration gets what its users would ask for: the versions with a channel.
void Core::publish_where_missing() {
  for (const auto& [image, versions] : versions_)
    for (const auto& [channel, number] : channels_of(image))
      begin_publishing(versions.at(SemVer::parse(number).value()));
}

bool Core::wants_publishing(const Publication& p, const std::vector<std::string>& channels) const {
  auto spec = parts_.config.images.find(p.image);
  if (spec == parts_.config.images.end()) return false;
  const auto& wanted = spec->second.publish;
  if (std::find(wanted.begin(), wanted.end(), p.repository) == wanted.end()) return false;
  const auto& version = versions_.at(p.image).at(p.number);
  if (version.state != VersionState::released) return false;
  return p.state != PublicationState::published || !channels.empty();
}

// Lowest versions first, and one at a time to each repository: so a channel never moves back behind a newer version.
void Core::publish_due() {
  if (!parts_.publisher || shutting_down_) return;
  if (now() < next_publish_) return wake_by(next_publish_);
  next_publish_ = now() + std::chrono::hours(1);
  std::map<std::string, std::map<std::string, std::string>> channels;
  for (const auto& [image, versions] : versions_) channels[image] = channels_of(image);
  for (const auto& [key, p] : publications_) {
    if (publishing_.size() >= max_publishing) break;
    if (publishing_.contains({p.image, p.repository})) continue;
    auto missing = outstanding(p, channels[p.image]);
    if (!wants_publishing(p, missing)) continue;
    if (p.next_try <= now())
      publish(p, std::move(missing));
    else
      next_publish_ = std::min(next_publish_, p.next_try);
  }
  wake_by(next_publish_);
}

void Core::publish(const Publication& p, std::vector<std::string> channels) {
  const auto& spec = parts_.config.images.at(p.image);
  auto& v = versions_.at(p.image).at(p.number);
  PublishOrder order;
  order.source = {p.image, v.reference, spec.compression};
  order.digest = v.published_digest;
  order.repository = p.repository;
  order.channels = channels;
  order.facts = {p.image,       p.number.text(), spec.recipe,   v.commit,         v.digest,
                 v.released_by, v.approved_by,   v.released_at, v.builder_digest, v.bases};
  if (v.swept_at != Time{}) {  // it is packed anew for this
    v.swept_at = {};
    batch_.versions.push_back(v);
    forgotten_.erase(v.published_digest);
  }
  publishing_.insert({p.image, p.repository});
  PublicationKey key{p.image, p.number, p.repository};
  effect("publish", [this, order = std::move(order), key] {
    auto outcome = std::make_shared<Result<void>>();
    executor_.registry(
        [publisher = parts_.publisher, order, outcome] { *outcome = publisher->publish(order, after(publish_limit)); },
        [this, key, outcome, channels = order.channels] { on_published(key, channels, *outcome); });
  });
}

void Core::on_published(const PublicationKey& key, const std::vector<std::string>& channels,
                        const Result<void>& outcome) {
  const auto& [image, number, repository] = key;
  publishing_.erase({image, repository});
  next_publish_ = {};
  versions_changed_ = true;  // a pool may have waited for this
  auto& p = publications_.at(key);
  json::object detail{{"version", number.text()}, {"repository", repository}};
  if (!outcome) {
    auto text = outcome.error().text();
    ++p.attempts;
    p.next_try = now() + publication_backoff(p.attempts);
    if (p.state != PublicationState::published) p.state = PublicationState::failed;
    if (text != p.problem) {  // the same again is no news
      detail["problem"] = text;
      record("image.publish-failed", "image/" + image, json::serialize(detail));
      parts_.log.warning("image {}: version {} is not in {}: {}", image, number.text(), repository, text);
    }
    p.problem = text;
    batch_.publications.push_back(p);
    return;
  }
  p.state = PublicationState::published;
  p.problem.clear();
  p.attempts = 0;
  p.next_try = {};
  if (p.published_at == Time{}) p.published_at = now();
  move_channels(p, channels);
  batch_.publications.push_back(p);
  detail["digest"] = versions_.at(image).at(number).published_digest;
  detail["channels"] = json::value_from(channels);
  record("image.published", "image/" + image, json::serialize(detail));
  parts_.log.info("image {}: version {} is in {}", image, number.text(), repository);
}

// A tag stands on one version: whoever had it in this repository has it no more.
void Core::move_channels(Publication& to, const std::vector<std::string>& channels) {
  for (auto& [key, p] : publications_) {
    if (p.image != to.image || p.repository != to.repository || &p == &to) continue;
    auto gone = std::erase_if(p.channels, [&](const std::string& c) {
      return std::find(channels.begin(), channels.end(), c) != channels.end();
    });
    if (gone > 0) batch_.publications.push_back(p);
  }
  for (const auto& c : channels)
    if (std::find(to.channels.begin(), to.channels.end(), c) == to.channels.end()) to.channels.push_back(c);
}

// What runs or is to run, what a pool pins, stands on, moves to or could go back to, and what is on its way.
std::set<SemVer> Core::versions_in_use(const std::string& image) const {
  std::set<SemVer> used;
  auto add = [&](const std::string& name) {
    auto [its_image, number] = split_image(name);
    if (auto v = SemVer::parse(number); v && its_image == image) used.insert(*v);
  };
  for (const auto& [id, b] : builders_) add(b.image_version);
  for (const auto& [id, j] : jobs_) add(j.image_version);
  for (const auto& [name, pool] : parts_.config.pools) {
    add(pool.image);  // pinned
    const auto* stands = stands_in(pool, image);
    if (!stands) continue;
    if (stands->current) used.insert(*stands->current);
    if (const auto& rollout = stands->rollout) used.insert({rollout->from, rollout->to});
  }
  for (const auto& [key, p] : publications_) {
    if (p.image != image) continue;
    bool under_way = publishing_.contains({p.image, p.repository});
    if (under_way || (p.state != PublicationState::published && wants_publishing(p, {}))) used.insert(p.number);
  }
  return used;
}

std::vector<SemVer> Core::sweepable_versions(const std::string& image) const {
  std::vector<SemVer> numbers;
  for (const auto& [number, v] : versions_.at(image)) numbers.push_back(number);
  auto channels = channels_of(image);
  std::erase_if(channels, [](const auto& c) { return c.first.find('.') != std::string::npos; });
  return plan::sweepable(numbers, versions_in_use(image), channels,
                         static_cast<std::size_t>(parts_.config.release.keep));
}

std::set<std::string> Core::needed_references(const std::string& image) const {
  std::set<std::string> out;
  for (const auto& [name, pool] : parts_.config.pools) out.insert(pool.image);
  auto versions = versions_.find(image);
  if (versions == versions_.end()) return out;
  auto rest = sweepable_versions(image);
  for (const auto& [number, v] : versions->second)
    if (std::find(rest.begin(), rest.end(), number) == rest.end()) out.insert(v.reference);
  return out;
}

// Only the copy in the state directory goes: the registries are other people's, and the record stays. Should a swept
// version be needed again, for a rollback perhaps, it is packed anew. Removal is repeated once after each start, for a
// daemon may have been killed before it.
void Core::sweep_versions() {
  if (!parts_.publisher) return;
  for (auto& [image, versions] : versions_) {
    std::set<std::string> needed;
    auto rest = sweepable_versions(image);
    for (const auto& [number, v] : versions)
      if (std::find(rest.begin(), rest.end(), number) == rest.end()) needed.insert(v.published_digest);
    for (const auto& number : rest) {
      auto& v = versions.at(number);
      if (v.published_digest.empty() || needed.contains(v.published_digest)) continue;
      if (v.swept_at == Time{}) {
        v.swept_at = now();
        batch_.versions.push_back(v);
        record("image.swept", "image/" + image, json::serialize(json::object{{"version", number.text()}}));
      }
      if (!forgotten_.insert(v.published_digest).second) continue;
      effect("image.sweep", [this, of = image, digest = v.published_digest] {
        auto outcome = std::make_shared<Result<void>>();
        executor_.registry([p = parts_.publisher, of, digest, outcome] { *outcome = p->forget(of, digest); },
                           [this, of, outcome] {
                             if (!*outcome) parts_.log.warning("image {}: {}", of, outcome->error().text());
                           });
      });
    }
  }
}

void Core::publish_now(const std::string& image, const std::string& who, Done<ImageStatus> done) {
  if (auto known = known_image(image); !known) return done(Unexpected(known.error()));
  for (auto& [key, p] : publications_) {
    if (p.image != image || p.next_try == Time{}) continue;
    p.next_try = {};
    batch_.publications.push_back(p);
  }
  next_publish_ = {};
  record("image.publish-asked", "image/" + image, json::serialize(json::object{{"by", who}}));
  effect("image.reply", [this, image, done] { done(image_status(image)); });
}

}  // namespace mayfly
