// Another configuration, without a restart: what it would change, and putting it into force.
#include <boost/json.hpp>

#include <fmt/format.h>

#include "control/core.h"
#include "plan/config_facts.h"

namespace mayfly {
namespace json = boost::json;
namespace {

constexpr std::size_t recorded_lines = 100;

json::array first_of(const std::vector<std::string>& lines) {
  json::array out;
  for (const auto& line : lines) {
    if (out.size() == recorded_lines) {
      out.emplace_back(fmt::format("and {} more", lines.size() - recorded_lines));
      break;
    }
    out.emplace_back(line);
  }
  return out;
}

std::string named(const std::vector<plan::StrandedJob>& jobs) {
  std::string out;
  for (std::size_t i = 0; i < jobs.size() && i < 10; ++i) out += fmt::format("{}{}", i == 0 ? "" : ", ", jobs[i].job);
  return jobs.size() > 10 ? out + fmt::format(" and {} more", jobs.size() - 10) : out;
}

bool same_image(const Config& a, const Config& b, const PoolName& name) {
  auto x = a.pools.find(name), y = b.pools.find(name);
  if (x == a.pools.end() || y == b.pools.end()) return false;
  if (x->second.platform != y->second.platform) return false;
  auto registries = [&](const Config& c) {
    auto found = c.platforms.find(x->second.platform);
    return found == c.platforms.end() ? std::vector<std::string>() : found->second.registries;
  };
  if (registries(a) != registries(b)) return false;
  const auto *v = versioned_image(x->second, a.images), *w = versioned_image(y->second, b.images);
  if (v || w) return v && w && v->name == w->name;
  if (x->second.image != y->second.image) return false;
  auto recipe = [&](const Config& c) {
    auto found = c.images.find(x->second.image);
    return found == c.images.end() ? ImageSpec() : found->second;
  };
  return recipe(a) == recipe(b);
}

}  // namespace

std::set<std::string> Core::platform_names() const {
  std::set<std::string> out;
  for (const auto& [name, p] : platforms_) out.insert(name);
  return out;
}

plan::ConfigChange Core::plan_config(const Config& wanted) {
  plan::ChangeSight seen{now(), {}, {}, platform_names(), version_moves(wanted)};
  for (const auto& [id, j] : jobs_) seen.jobs.push_back(&j);
  for (const auto& [id, b] : builders_) seen.builders.push_back(&b);
  return plan::compare(configured(), wanted, seen);
}

void Core::apply_config(ConfigOrder order, Done<plan::ConfigChange> done) {
  if (!store_problem_.empty())
    return done(fail(ErrorCode::exhausted, "the change cannot be recorded: " + store_problem_, order.file,
                     "Free some disk space and try again."));
  auto change = plan_config(order.config);
  if (!order.plan.empty() && order.plan != change.id)
    return done(
        fail(ErrorCode::conflict,
             "the configuration is not the one that was shown any more: it, or the one in force, was changed meanwhile",
             order.file, "Look at the change again: `mayfly plan`."));
  if (!change.stranded.empty() && !order.strand)
    return done(fail(ErrorCode::conflict,
                     fmt::format("{} queued job{} would wait for ever or fail: {}", change.stranded.size(),
                                 change.stranded.size() == 1 ? "" : "s", named(change.stranded)),
                     order.file, "Cancel them, let them finish first, or say --strand-jobs."));
  auto next = plan::applicable(configured(), std::move(order.config), platform_names());
  auto cis = other_cis(next);
  if (!cis) return done(Unexpected(cis.error()));
  if (change.applies()) {
    record("config.applied", "daemon",
           json::serialize(json::object{{"by", order.who},
                                        {"file", order.file},
                                        {"summary", plan::summary(change)},
                                        {"changes", first_of(plan::lines(change))},
                                        {"stranded", change.stranded.empty() ? "" : named(change.stranded)}}));
    parts_.log.info("configuration {} applied by {}: {}", order.file, order.who, plan::summary(change));
    put_in_force(std::move(next), std::move(*cis));
  }
  effect("config.reply", [change = std::move(change), done] { done(change); });
}

void Core::put_in_force(Config next, std::map<PoolName, std::shared_ptr<Ci>> cis) {
  for (const auto& name : added_pools_) next.pools.emplace(name, parts_.config.pools.at(name));
  auto before = std::exchange(parts_.config, std::move(next));
  for (const auto& [name, spec] : before.pools) {
    if (parts_.config.pools.contains(name)) continue;
    pools_.erase(name);
    auto& view = roster_.pool_view(name);
    view.spec = nullptr;
    view.numbers = {};  // or its schedule's next time, once past, would wake the loop without end
    view.rollout = nullptr;
  }
  for (const auto& [name, spec] : parts_.config.pools) set_up_pool(name, same_image(before, parts_.config, name));
  for (auto& [pool, ci] : cis) connect_to(pool, std::move(ci));
  if (parts_.on_cis) parts_.on_cis(connectors_in_force());
  set_up_platforms();
  put_trust_on_view();
  roster_.pools_changed();
  next_sweep_ = {};  // keep_jobs may be shorter now
  publish_where_missing();
  if (parts_.on_config) parts_.on_config(parts_.config);
}

// What control and the planner know of a pool, as its configuration says. Without keep_images it begins anew with them.
void Core::set_up_pool(const PoolName& name, bool keep_images) {
  const PoolSpec& spec = parts_.config.pools.at(name);
  auto& run = pools_[name];
  auto& view = roster_.pool_view(name);
  if (!keep_images) {
    run.generation = ++generations_;
    run.images.clear();
    view.rollout = nullptr;
    view.versions.assign(versioned_image(spec, parts_.config.images) ? 0 : 1, {});
  }
  versions_changed_ = true;
  run.schedule.reset();
  if (!spec.schedule.empty()) run.schedule.emplace(spec);
  run.numbers_from = {};
  view.spec = &spec;
  view.numbers = {spec.warm, spec.min, spec.max, {}, {}};
  view.platform = roster_.platform(spec.platform);
  view.shape = plan::shape_of(parts_.config, spec);
}

}  // namespace mayfly
