// What goes on failing, and clocks that jump.
#include "control/core.h"

namespace mayfly {
namespace {

// Less is left to the wall clock's own corrections.
constexpr Duration jump = std::chrono::seconds(1);

}  // namespace

// The wall clock, for it is what schedules and people go by. Where it is put on or back, whatever was going on has not
// become longer or shorter by that: all that control measures from moves along.
Time Core::now() {
  Time wall = parts_.clock.now();
  Duration offset = wall.time_since_epoch() - parts_.clock.steady();
  if (!clock_offset_) clock_offset_ = offset;
  Duration by = offset - *clock_offset_;
  if (by > -jump && by < jump) return wall;
  clock_offset_ = offset;
  parts_.log.warning("the clock was put {} by {}", by > Duration(0) ? "on" : "back",
                     format_duration(by > Duration(0) ? by : -by));
  clock_jumped(by);
  return wall;
}

void Core::clock_jumped(Duration by) {
  roster_.shift(by);
  for (auto& [key, trust] : trusts_) trust.starts.shift(by), trust.losses.shift(by);
  for (auto& [name, p] : platforms_) p.quarantine.shift(by);
  for (auto& [id, at] : cancel_deadlines_) at += by;
  for (auto& [id, at] : stop_retries_) at += by;
  for (auto& [name, at] : list_retries_) at += by;
  ci_clock_jumped(by);
  if (next_sweep_ != Time{}) next_sweep_ += by;
  for (auto& [name, p] : pool_versions_)
    if (p.rollout && !is_over(p.rollout->state)) p.rollout->state_at += by;
  if (wake_) *wake_ += by;
}

void Core::set_up_platforms() {
  for (auto& [name, p] : platforms_) {
    auto& view = roster_.platform_view(name);
    view.quarantine = &p.quarantine;
    auto found = parts_.config.platforms.find(name);
    const PlatformSpec spec = found == parts_.config.platforms.end() ? PlatformSpec() : found->second;
    view.max = spec.max;
    view.parallel_launches = spec.parallel_launches > 0 ? spec.parallel_launches : p.platform->parallel_launches();
    if (spec.launches_per_minute == 0)
      p.budget.reset();
    else if (!p.budget || p.budget->per_minute() != spec.launches_per_minute)
      p.budget.emplace(spec.launches_per_minute);
    view.budget = p.budget ? &*p.budget : nullptr;
  }
}

// Pools that start the same version on the same platform share what is known against it.
void Core::put_trust_on_view() {
  for (const auto& [name, run] : pools_) {
    auto& view = roster_.pool_view(name);
    if (view.platform == plan::nowhere) continue;
    for (std::size_t i = 0; i < view.versions.size(); ++i) {
      auto& version = view.versions[i];
      version.breaker = version.losses = nullptr;
      auto image = run.images.find(version.name);
      if (image == run.images.end()) continue;
      auto trust = trusts_.find({roster_.seen().platforms[view.platform].name, image->second.digest});
      if (trust == trusts_.end()) continue;
      version.breaker = &trust->second.starts;
      version.losses = &trust->second.losses;
    }
  }
}

void Core::on_start_failed(const Builder& b, const std::string& problem, Time at) {
  auto [trust, fresh] = trusts_.try_emplace({b.platform, b.image_digest});
  trust->second.starts.failed(at, problem);
  platforms_.at(b.platform).quarantine.failed(at, problem, b.image_digest);
  if (fresh) put_trust_on_view();
}

void Core::on_builder_died(const Builder& b, const std::string& problem, Time at) {
  auto [trust, fresh] = trusts_.try_emplace({b.platform, b.image_digest});
  trust->second.losses.failed(at, problem);
  if (fresh) put_trust_on_view();
}

void Core::on_ready(const Builder& b) {
  platforms_.at(b.platform).quarantine.succeeded();
  auto trust = trusts_.find({b.platform, b.image_digest});
  if (trust == trusts_.end()) return;
  trust->second.starts.succeeded();
  if (trust->second.losses.failures() > 0) return;
  trusts_.erase(trust);
  put_trust_on_view();
}

void Core::on_job_done(const Builder& b) {
  if (trusts_.empty()) return;
  auto trust = trusts_.find({b.platform, b.image_digest});
  if (trust == trusts_.end()) return;
  trust->second.losses.succeeded();
  if (trust->second.starts.failures() > 0) return;
  trusts_.erase(trust);
  put_trust_on_view();
}

}  // namespace mayfly
