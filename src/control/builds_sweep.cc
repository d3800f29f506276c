// Images of builds that nobody needs any more are removed, a few at a time: written down first, and done again after a
// restart.
#include <algorithm>

#include <boost/json.hpp>

#include "control/builds.h"
#include "plan/release.h"

namespace mayfly {
namespace {

constexpr std::size_t at_once = 5;  // of one image; each takes seconds of the disk
constexpr Duration sweep_every = std::chrono::minutes(10), sweep_rest = std::chrono::seconds(10);
constexpr Duration discard_limit = std::chrono::minutes(10);

}  // namespace

// Not while anything is built: layers that a build was shown must not vanish under it.
void Builds::sweep() {
  next_sweep_ = now() + sweep_every;
  if (std::any_of(active_.begin(), active_.end(),
                  [](const auto& b) { return b.second.state == BuildState::building; })) {
    next_sweep_ = now() + sweep_rest;
    return;
  }
  const auto keep = static_cast<std::size_t>(parts_.config.release.keep);
  for (const auto& [name, image] : parts_.config.images) {
    const auto all = recent(name);
    auto ids = plan::sweepable_builds(all, parts_.core.needed_references(name), keep);
    if (ids.size() > at_once) {
      ids.erase(ids.begin(), ids.end() - at_once);  // the oldest
      next_sweep_ = now() + sweep_rest;
    }
    for (const auto& b : all)
      if (std::find(ids.begin(), ids.end(), b.id) != ids.end()) sweep(b, all);
  }
}

// Those that took the image over have it no more either.
void Builds::sweep(const ImageBuild& b, const std::vector<ImageBuild>& all) {
  for (const auto& o : all) {
    if (o.reference != b.reference || o.swept_at != Time{}) continue;
    auto gone = o;
    gone.swept_at = now();
    if (!write(gone, "build.swept", boost::json::serialize(boost::json::object{{"reference", o.reference}}))) return;
  }
  parts_.core.reference_gone(b.reference);
  discard(b);
}

void Builds::discard(const ImageBuild& b) {
  if (b.same_as != 0) return;
  parts_.apart([this, order = DiscardOrder{b.id, b.image, parts_.paths.build(b.id), {b.digest, b.reference}}] {
    auto done = parts_.works.discard(order, after(discard_limit));
    if (!done) parts_.log.warning("the image of build {} is not removed yet: {}", order.id, done.error().text());
  });
}

}  // namespace mayfly
