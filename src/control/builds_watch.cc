// Commits that nobody announces: watched repositories are asked, each at its own pace.
#include <fmt/format.h>

#include "control/builds.h"

namespace mayfly {
namespace {
constexpr Duration look_limit = std::chrono::minutes(5);
constexpr int max_new = 20;  // builds for one look: the others come with the next
}  // namespace

void Builds::look(const std::string& name) {
  const auto& image = parts_.config.images.at(name);
  auto& w = watches_.at(name);
  w.looking = true;
  parts_.apart([this, name, image] {
    auto refs = std::make_shared<Result<std::vector<RefAt>>>(parts_.works.refs(image, after(look_limit)));
    parts_.post([this, name, every = image.watch, refs] {
      auto& watch = watches_.at(name);
      watch.looking = false;
      if (!parts_.config.images.contains(name)) return;  // the configuration changed meanwhile
      watch.look_at = now() + every;
      wake_by(*watch.look_at);
      if (*refs)
        on_refs(name, **refs);
      else
        parts_.log.warning("image {}: {}", name, refs->error().text());
    });
  });
}

void Builds::on_refs(const std::string& name, const std::vector<RefAt>& refs) {
  auto builds = recent(name);
  auto is_known = [&](const RefAt& ref) {
    for (const auto& b : builds) {
      if (b.state == BuildState::cancelled) continue;
      // Not resolved yet: it will find what the ref has by then.
      if (b.content.empty() && !is_final(b.state) && b.ref == ref.ref) return true;
      if (ref.release) {
        // Only the newest counts: a change that was taken back is a change.
        if (b.release && !b.content.empty() && b.trigger != BuildTrigger::base) return b.content == ref.content;
      } else if (b.content == ref.content) {
        return true;
      }
    }
    return false;
  };
  int made = 0;
  // The branch first: proposed changes that do not touch the recipe have its content.
  for (bool release : {true, false})
    for (const auto& ref : refs) {
      if (ref.release != release || ref.content.empty() || is_known(ref) || made >= max_new) continue;
      ++made;
      auto trigger = release ? BuildTrigger::merge : BuildTrigger::commit;
      auto b = create({name, ref.ref, trigger, "", false});
      if (!b) return;
      // Two branches with the same new recipe are one build.
      auto known = *b;
      known.content = ref.content;
      builds.insert(builds.begin(), known);
      advance(b->id);
    }
}

}  // namespace mayfly
