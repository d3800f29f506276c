// Where pools stand between the versions of their images. What to move to and when is decided in plan/; here it is
// recorded and carried out.
#include <algorithm>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "control/core.h"
#include "plan/rollout.h"
#include "plan/version_choice.h"

namespace mayfly {
namespace json = boost::json;
namespace {

constexpr std::size_t remembered_refusals = 20;
constexpr std::size_t baseline_jobs = 200;  // the old version is judged by so many of its last jobs

std::string subject(const PoolName& name) { return "pool/" + name; }

std::string named(const PoolVersions& p, const SemVer& v) { return fmt::format("{}@{}", p.image, v.text()); }

bool under_way(const PoolVersions& p) { return p.rollout && !is_over(p.rollout->state); }

std::string kind_of(RolloutState state) {
  std::string out = fmt::format("rollout.{}", to_string(state));
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

VersionRange followed_by(const PoolSpec& spec) {
  auto text = split_image(spec.image).second;
  return text.empty() ? VersionRange::latest() : VersionRange::parse(text).value_or(VersionRange::latest());
}

json::object tally_json(const VersionTally& t) {
  return {{"jobs", t.jobs}, {"failed", t.failed}, {"failed_starts", t.failed_starts}};
}

}  // namespace

// Called when versions, or what pools refuse, have changed; not in every step.
void Core::follow_versions() {
  versions_changed_ = false;
  for (const auto& [name, spec] : parts_.config.pools)
    if (versioned_image(spec, parts_.config.images)) follow(spec);
}

std::map<PoolName, plan::VersionMove> Core::version_moves(const Config& wanted) {
  std::map<PoolName, plan::VersionMove> out;
  for (const auto& [name, spec] : wanted.pools) {
    const ImageSpec* image = versioned_image(spec, wanted.images);
    if (!image) continue;
    static const std::map<SemVer, ImageVersion> none;
    auto released = versions_.find(image->name);
    const auto& versions = released == versions_.end() ? none : released->second;
    PoolVersions stands;
    if (auto p = pool_versions_.find(name); p != pool_versions_.end() && p->second.image == image->name)
      stands = p->second;
    auto there = [&](const SemVer& n) { return not_there_yet(spec, versions.at(n)).empty(); };
    out[name] = {stands.current,
                 plan::choose_version(followed_by(spec), versions, stands.current, stands.refused, there).version};
  }
  return out;
}

void Core::follow(const PoolSpec& spec) {
  const std::string image = versioned_image(spec, parts_.config.images)->name;
  auto& p = pool_versions_[spec.name];
  if (p.image != image) p = {spec.name, image, {}, {}, {}};
  const auto& versions = versions_[image];
  const auto follows = followed_by(spec);
  auto there = [&](const SemVer& n) { return not_there_yet(spec, versions.at(n)).empty(); };
  if (under_way(p)) {
    const SemVer to = p.rollout->to;
    auto found = versions.find(to);
    bool is_released = found != versions.end() && (follows.exact() || found->second.state == VersionState::released);
    // A warm pool that has switched has no builders of the old version left to fall back on: the next one waits until
    // this one is proven.
    bool may_switch = p.rollout->state != RolloutState::watching || (spec.warm == 0 && spec.min == 0);
    auto choice = plan::choose_version(follows, versions, p.current, p.refused, there);
    if (!is_released)
      move_rollout(p, RolloutState::rolled_back, "it was withdrawn", {});
    else if (may_switch && choice.version != to)
      move_rollout(p, RolloutState::superseded,
                   choice.version ? fmt::format("{} is to be run instead", choice.version->text())
                                  : "it is not followed any more",
                   {});
    if (under_way(p)) return show_versions(p);
  }
  if (p.current && !versions.contains(*p.current)) p.current.reset();
  auto choice = plan::choose_version(follows, versions, p.current, p.refused, there);
  auto wanted = plan::choose_version(follows, versions, p.current, p.refused).version;
  if (wanted == choice.version) wanted.reset();
  hold(spec, wanted ? not_there_yet(spec, versions.at(*wanted)) : "", wanted);
  if (choice.version && p.current && *choice.version != *p.current)
    begin_rollout(p, *choice.version, choice.back, {});
  else if (choice.version != p.current) {
    p.current = choice.version;  // there is nothing to move from, or to
    record("pool.version", subject(p.pool),
           json::serialize(json::object{{"version", p.current ? named(p, *p.current) : ""}, {"follows", spec.image}}));
    save(p);
  }
  show_versions(p);
}

const PoolVersions* Core::stands_in(const PoolSpec& pool, const std::string& image) const {
  const auto* follows = versioned_image(pool, parts_.config.images);
  auto found = pool_versions_.find(pool.name);
  bool known = follows && follows->name == image && found != pool_versions_.end() && found->second.image == image;
  return known ? &found->second : nullptr;
}

std::pair<std::string, std::string> Core::source_of(const PoolSpec& pool, const ImageVersion& v) const {
  auto platform = parts_.config.platforms.find(pool.platform);
  auto image = parts_.config.images.find(v.image);
  if (image == parts_.config.images.end() || v.published_digest.empty()) return {v.reference, v.digest};
  auto registries =
      platform == parts_.config.platforms.end() ? std::vector<std::string>() : platform->second.registries;
  for (const auto& repository : plan::pulled_from(registries, image->second.publish))
    return {fmt::format("docker://{}@{}", repository, v.published_digest), v.published_digest};
  if (gone_references_.contains(v.reference))
    for (const auto& [key, p] : publications_)
      if (p.image == v.image && p.number == v.number && p.state == PublicationState::published)
        return {fmt::format("docker://{}@{}", p.repository, v.published_digest), v.published_digest};
  return {v.reference, v.digest};
}

std::string Core::not_there_yet(const PoolSpec& pool, const ImageVersion& v) const {
  auto platform = parts_.config.platforms.find(pool.platform);
  auto image = parts_.config.images.find(v.image);
  if (platform == parts_.config.platforms.end() || image == parts_.config.images.end()) return "";
  for (const auto& repository : plan::pulled_from(platform->second.registries, image->second.publish)) {
    auto found = publications_.find({v.image, v.number, repository});
    if (found != publications_.end() && found->second.state == PublicationState::published) continue;
    auto why = found == publications_.end()    ? std::string("it was not published there")
               : found->second.problem.empty() ? std::string("it is on its way")
                                               : found->second.problem;
    return fmt::format("{} {} is not in {} yet, which platform '{}' pulls from: {}", v.image, v.number.text(),
                       repository, pool.platform, why);
  }
  return "";
}

// Said once for each version and reason; asked for again with every change of versions and publications.
void Core::hold(const PoolSpec& pool, const std::string& why, const std::optional<SemVer>& wanted) {
  auto& held = roster_.pool_view(pool.name).held;
  if (wanted) begin_publishing(versions_.at(versioned_image(pool, parts_.config.images)->name).at(*wanted));
  if (held == why) return;
  if (!why.empty())
    record("rollout.held", subject(pool.name),
           json::serialize(json::object{{"version", wanted->text()}, {"why", why}}));
  held = why;
}

void Core::begin_rollout(PoolVersions& p, const SemVer& to, bool asked, const std::string& by) {
  const auto& rules = parts_.config.pools.at(p.pool).rollout;
  Rollout r;
  r.from = *p.current;
  r.to = to;
  r.asked = asked;
  r.by = by;
  r.state = plan::first_state(rules, asked);
  r.started_at = r.state_at = now();
  r.why = "it has just begun";
  // What the old version is like shows in what it did before, too.
  if (auto before = parts_.store.jobs({.ended = true, .image_version = named(p, r.from), .limit = baseline_jobs}))
    for (const auto& job : *before) {
      if (job.builder.substr(0, job.builder.rfind('-')) != p.pool) continue;
      if (auto failed = counts_as_failure(job)) ++r.old_tally.jobs, r.old_tally.failed += *failed;
    }
  record("rollout.started", subject(p.pool),
         json::serialize(json::object{{"image", p.image},
                                      {"from", r.from.text()},
                                      {"to", r.to.text()},
                                      {"state", to_string(r.state)},
                                      {"by", by},
                                      {"old", tally_json(r.old_tally)}}));
  parts_.log.info("pool {}: {} {} is rolled out ({})", p.pool, p.image, r.to.text(), to_string(r.state));
  p.rollout = std::move(r);
  save(p);
}

void Core::move_rollout(PoolVersions& p, RolloutState next, const std::string& why, const std::string& by) {
  auto& r = *p.rollout;
  r.state = next;
  r.state_at = now();
  r.why = why.substr(0, 2000);
  r.by = by;
  if (is_over(next)) {
    r.paused = false;
    r.ended_at = now();
  }
  std::erase(p.refused, r.to);
  if (next == RolloutState::promoted) p.current = r.to;
  if (next == RolloutState::rolled_back) p.refused.push_back(r.to);
  if (p.refused.size() > remembered_refusals) p.refused.erase(p.refused.begin());
  record(kind_of(next), subject(p.pool),
         json::serialize(json::object{{"image", p.image},
                                      {"from", r.from.text()},
                                      {"to", r.to.text()},
                                      {"why", r.why},
                                      {"by", by},
                                      {"old", tally_json(r.old_tally)},
                                      {"new", tally_json(r.new_tally)}}));
  parts_.log.info("pool {}: {} {} is {}: {}", p.pool, p.image, r.to.text(), to_string(next), r.why);
  save(p);
  show_versions(p);
  versions_changed_ = true;  // a newer one may have waited for this end
  wake_by(now());
}

void Core::change_rollout(const PoolName& pool, RolloutOrder order, const std::string& who, Done<PoolVersions> done) {
  auto found = pool_versions_.find(pool);
  auto spec = parts_.config.pools.find(pool);
  if (found == pool_versions_.end() || spec == parts_.config.pools.end() ||
      !versioned_image(spec->second, parts_.config.images))
    return done(fail(ErrorCode::not_found, fmt::format("there is no pool '{}' that follows an image's versions", pool),
                     "rollout", "`mayfly rollout list` shows those that do."));
  if (auto obeyed = obey(found->second, order, who); !obeyed) return done(Unexpected(obeyed.error()));
  effect("rollout.reply", [this, pool, done] { done(pool_versions_.at(pool)); });
}

Result<void> Core::obey(PoolVersions& p, RolloutOrder order, const std::string& who) {
  auto refuse = [&](const char* what) {
    return fail(ErrorCode::conflict, fmt::format("pool '{}' {}", p.pool, what), "rollout",
                "`mayfly rollout list` shows how it stands.");
  };
  bool running = under_way(p);
  auto note = [&](const char* kind) {
    p.rollout->by = who;
    record(kind, subject(p.pool), json::serialize(json::object{{"to", p.rollout->to.text()}, {"by", who}}));
    save(p);
  };
  switch (order) {
    case RolloutOrder::pause:
      if (!running) return refuse("has no rollout under way");
      p.rollout->paused = true;
      note("rollout.paused");
      return {};
    case RolloutOrder::resume:
      if (running && p.rollout->paused) {
        p.rollout->paused = false;
        p.rollout->state_at = now();  // nothing was proven while it stood still
        note("rollout.resumed");
        return {};
      }
      if (!running && p.rollout && p.rollout->state == RolloutState::rolled_back) {
        std::erase(p.refused, p.rollout->to);
        versions_changed_ = true;
        note("rollout.resumed");
        return {};
      }
      return refuse("has no rollout that is paused or was rolled back");
    case RolloutOrder::promote:
      if (!running) return refuse("has no rollout under way");
      move_rollout(p, RolloutState::promoted, fmt::format("{} said so", who), who);
      return {};
    case RolloutOrder::rollback:
      if (running) {
        move_rollout(p, RolloutState::rolled_back, fmt::format("{} said so", who), who);
        return {};
      }
      if (!p.rollout || p.rollout->state != RolloutState::promoted || p.current != p.rollout->to)
        return refuse("has no rollout to go back from");
      p.refused.push_back(*p.current);
      begin_rollout(p, SemVer(p.rollout->from), true, who);
      show_versions(p);
      return {};
  }
  return {};
}

// What the planner sees of it. What is known of a version that stays in sight is kept.
void Core::show_versions(PoolVersions& p) {
  auto& view = roster_.pool_view(p.pool);
  std::vector<std::string> names;
  if (p.current) names.push_back(named(p, *p.current));
  if (p.current && under_way(p)) names.push_back(named(p, p.rollout->to));
  std::vector<plan::VersionView> versions;
  for (const auto& name : names) {
    auto* known = version_view(p.pool, name);
    if (known) {
      versions.push_back(*known);
    } else {
      versions.emplace_back().name = name;
      auto [image, number] = split_image(name);
      const auto& version = versions_.at(p.image).at(SemVer::parse(number).value());
      versions.back().digest = source_of(parts_.config.pools.at(p.pool), version).second;
    }
  }
  view.versions = std::move(versions);
  view.rollout = names.size() > 1 ? &*p.rollout : nullptr;
  std::erase_if(pools_.at(p.pool).images,
                [&](const auto& i) { return std::find(names.begin(), names.end(), i.first) == names.end(); });
}

plan::VersionView* Core::version_view(const PoolName& pool, const std::string& version) {
  if (!pools_.contains(pool)) return nullptr;
  for (auto& v : roster_.pool_view(pool).versions)
    if (v.name == version) return &v;
  return nullptr;
}

// Of a rollout under way: the version's part in it. The caller is about to change it.
VersionTally* Core::tally_of(const PoolName& pool, const std::string& version) {
  auto found = pool_versions_.find(pool);
  if (found == pool_versions_.end() || !under_way(found->second)) return nullptr;
  auto& p = found->second;
  bool fresh = version == named(p, p.rollout->to);
  if (!fresh && version != named(p, p.rollout->from)) return nullptr;
  save(p);
  return fresh ? &p.rollout->new_tally : &p.rollout->old_tally;
}

void Core::count_end(const Job& ended) {
  if (ended.image_version.empty()) return;
  auto failed = counts_as_failure(ended);
  if (!failed) return;
  if (auto* tally = tally_of(ended.builder.substr(0, ended.builder.rfind('-')), ended.image_version)) {
    ++tally->jobs;
    tally->failed += *failed;
  }
}

std::vector<PoolVersions> Core::rollouts() const {
  std::vector<PoolVersions> out;
  for (const auto& [name, spec] : parts_.config.pools)
    if (auto found = pool_versions_.find(name);
        found != pool_versions_.end() && versioned_image(spec, parts_.config.images))
      out.push_back(found->second);
  return out;
}

}  // namespace mayfly
