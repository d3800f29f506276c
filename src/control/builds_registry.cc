// Images in registries that others are built FROM: asked for their digests when a build begins, and then at the pace
// that the configuration says. What is to follow is decided by plan/base_watch.h, from the records of builds alone: so
// a restart neither forgets a change nor builds on it twice.
#include <algorithm>

#include <boost/json.hpp>

#include "control/builds.h"
#include "plan/base_watch.h"

namespace mayfly {
namespace {
constexpr Duration ask_limit = std::chrono::seconds(30);
constexpr Duration first_retry = std::chrono::minutes(1);
constexpr std::size_t max_asked = 500;  // in one look
}  // namespace

// On a worker. Of a registry that did not answer in time nothing more is asked: the others wait for this.
Builds::Digests Builds::ask_registries(const std::set<std::string>& bases) const {
  Digests out;
  std::map<std::string, Error> silent;
  for (const auto& base : bases) {
    if (out.size() >= max_asked) break;
    auto registry = plan::registry_of(base);
    if (auto found = silent.find(registry); found != silent.end()) {
      out.emplace(base, Unexpected(found->second));
      continue;
    }
    auto digest = parts_.works.base_digest(base, after(ask_limit));
    if (!digest && digest.error().code == ErrorCode::timeout) silent.emplace(registry, digest.error());
    out.emplace(base, std::move(digest));
  }
  return out;
}

// Everybody's at once: images that share a base ask for it once.
void Builds::look_at_bases() {
  if (asking_bases_) return;
  std::vector<std::string> images;
  std::set<std::string> bases;
  for (auto& [name, w] : watches_) {
    if (!w.bases_at) continue;
    if (now() >= *w.bases_at) {
      w.bases_at = now() + base_interval(parts_.config.images.at(name));
      images.push_back(name);
      for (const auto& [base, digest] : plan::tried_bases(recent(name))) bases.insert(base);
    }
    wake_by(*w.bases_at);
  }
  if (bases.empty()) return;
  asking_bases_ = true;
  parts_.apart([this, images, bases] {
    auto seen = std::make_shared<Digests>(ask_registries(bases));
    parts_.post([this, images, seen] {
      asking_bases_ = false;
      for (const auto& image : images) on_bases(image, *seen);
      wake_by(now());
    });
  });
}

void Builds::on_bases(const std::string& name, const Digests& seen) {
  auto image = parts_.config.images.find(name);
  if (image == parts_.config.images.end() || base_interval(image->second) == Duration(0)) return;
  auto& w = watches_.at(name);
  const auto builds = recent(name);
  auto tried = plan::tried_bases(builds);
  std::map<std::string, std::string> there;
  const Error* problem = nullptr;
  for (const auto& [base, digest] : tried) {
    auto found = seen.find(base);
    if (found == seen.end()) continue;
    if (found->second)
      there[base] = *found->second;
    else if (!problem)
      problem = &found->second.error();
  }
  note_registry(name, problem);
  if (problem) {
    auto every = base_interval(image->second);
    w.bases_at = now() + std::min(every, first_retry * (1 << std::min(w.base_failures - 1, 10)));
    w.base_note = "whether its base changed is not known: " + problem->text();
  } else {
    w.base_note.clear();
  }
  auto judged = plan::judge_bases(builds, there);
  if (!judged.build) {
    if (!judged.why.empty()) w.base_note = judged.why;
    return;
  }
  for (const auto& [base, digest] : there) tried[base] = digest;
  if (auto made = create({name, "", BuildTrigger::base, "", false, tried, judged.why})) {
    parts_.log.info("image {}: {}: build {}", name, judged.why, made->id);
    advance(made->id);
  }
}

// In the ledger when it begins and when it is over, not each time that it is tried.
void Builds::note_registry(const std::string& image, const Error* problem) {
  auto& failures = watches_.at(image).base_failures;
  const bool was_away = failures > 0;
  failures = problem ? failures + 1 : 0;
  if (was_away == (problem != nullptr)) return;
  Batch batch;
  boost::json::object detail;
  if (problem) detail["problem"] = problem->text();
  batch.ledger.push_back(
      {now(), problem ? "image.base-unknown" : "image.base-known", "image/" + image, boost::json::serialize(detail)});
  if (problem) parts_.log.warning("image {}: whether its base changed is not known: {}", image, problem->text());
  if (auto written = parts_.store.commit(batch); !written)
    parts_.log.error("image {}: what its registry says cannot be written down: {}", image, written.error().text());
}

std::string Builds::base_note(const std::string& image) const {
  auto found = watches_.find(image);
  return found == watches_.end() ? "" : found->second.base_note;
}

}  // namespace mayfly
