// What went wrong or takes too long: deadlines, and what keeps a pool from starting builders.
#include <fmt/format.h>

#include "plan/sight.h"

namespace mayfly::plan {
namespace {

// Half open: one try is let through at a time, until one succeeds, though many pools may start the same.
bool is_being_tried(Sight& s, PoolSight& pool, const Breaker& b) {
  if (s.trying.contains(&b)) return true;
  pool.tries.push_back(&b);
  return false;
}

Cause platform_obstacle(Sight& s, PoolSight& pool) {
  const PoolView& view = *pool.view;
  const PlatformView* platform = view.platform == nowhere ? nullptr : &s.seen.platforms[view.platform];
  if (!platform || !platform->available) {
    s.wake_by(s.now + std::chrono::seconds(1));
    return {platform && platform->disk_full ? ReasonCode::disk_full : ReasonCode::platform_unavailable,
            fmt::format("platform '{}' takes no builders: {}", view.spec->platform,
                        platform ? platform->problem : "it is not set up")};
  }
  const Breaker* q = platform->quarantine;
  if (!q || !q->tripped()) return {};
  auto failed = fmt::format("{} builders of several images failed in a row on platform '{}' (the last: {})",
                            q->failures(), view.spec->platform, q->problem());
  if (q->open(s.now)) return {ReasonCode::quarantined, failed + "; it is left alone for a while", q->until()};
  if (is_being_tried(s, pool, *q)) return {ReasonCode::quarantined, failed + "; one builder is being tried"};
  return {};
}

Cause image_obstacle(Sight& s, PoolSight& pool) {
  const VersionView& v = pool.view->versions[pool.main];
  const ImageView& image = v.image;
  const std::string& ref = v.name.empty() ? pool.view->spec->image : v.name;
  if (image.ready) return {};
  Cause under_way{ReasonCode::image_resolving, fmt::format("image '{}' is being made ready", ref)};
  if (image.in_progress) return under_way;
  if (!image.problem.empty() && (image.permanent || image.failures >= s.patience.failed_images))
    pool.hopeless = JobResult{JobCause::image_unavailable, 0, 0, image.problem};
  if (image.retry_at && s.now < *image.retry_at)
    return {ReasonCode::image_unavailable, fmt::format("image '{}' cannot be had: {}", ref, image.problem),
            image.retry_at};
  pool.prepare = true;
  return under_way;
}

Cause starts_obstacle(Sight& s, PoolSight& pool) {
  const StartsView& starts = pool.view->versions[pool.main].starts;
  if (starts.failed >= s.patience.failed_starts)
    pool.hopeless = JobResult{
        JobCause::start_failed, 0, 0,
        fmt::format("{} builders in a row could not be started; the last: {}", starts.failed, starts.problem)};
  if (!starts.after || s.now >= *starts.after) return {};
  return {ReasonCode::start_backoff,
          fmt::format("{} failed ({}); the next try follows", count(starts.failed, "start", "starts in a row"),
                      starts.problem),
          starts.after};
}

Cause breaker_obstacle(Sight& s, PoolSight& pool, const Breaker* b, ReasonCode code, std::string_view what) {
  if (!b || !b->tripped()) return {};
  auto text = fmt::format("{} {} of image '{}' in a row on platform '{}' (the last: {})", b->failures(), what,
                          pool.view->spec->image, pool.view->spec->platform, b->problem());
  if (b->open(s.now)) return {code, text + "; it is left alone for a while", b->until()};
  if (is_being_tried(s, pool, *b)) return {code, text + "; one builder is being tried"};
  return {};
}

Cause obstacle(Sight& s, PoolSight& pool) {
  const PoolView& view = *pool.view;
  if (!view.spec)
    return {ReasonCode::pool_removed,
            fmt::format("pool '{}' is no longer in the configuration; add it again or cancel the job", view.name)};
  if (s.seen.shutting_down)
    return {ReasonCode::shutting_down, "the daemon is stopping; the job stays queued for its next start"};
  if (auto c = platform_obstacle(s, pool); c.code != ReasonCode::none) return c;
  if (view.versions.empty()) {
    if (!view.held.empty()) return {ReasonCode::version_missing, view.held};
    auto [name, range] = split_image(view.spec->image);
    return {ReasonCode::version_missing,
            fmt::format("no version of image '{}' was released that fits '{}'; `mayfly image release {}` releases one",
                        name, range.empty() ? "latest" : range, name)};
  }
  pool.main = main_version(s, pool);
  if (auto c = image_obstacle(s, pool); c.code != ReasonCode::none) return c;
  if (auto c = starts_obstacle(s, pool); c.code != ReasonCode::none) return c;
  const VersionView& version = view.versions[pool.main];
  auto c = breaker_obstacle(s, pool, version.breaker, ReasonCode::breaker_open, "starts failed");
  if (c.code != ReasonCode::none) return c;
  return breaker_obstacle(s, pool, version.losses, ReasonCode::quarantined, "builders died");
}

}  // namespace

void check_start(Sight& s, const BuilderView& v) {
  const Builder& b = *v.builder;
  if (b.state != BuilderState::requested && b.state != BuilderState::starting) return;
  Time limit = v.since + s.patience.start;
  if (s.now < limit) return s.wake_by(limit);
  s.act(StopBuilder{b.id, fmt::format("it was not ready within {}", format_duration(s.patience.start))});
}

// A job that is past every limit: its agent should have ended it and did not.
void check_end(Sight& s, const JobView& v) {
  const Job& j = *v.job;
  if (j.timeout == Duration{}) return;
  // What its builder was told holds: the pool's limits may have changed since, or the pool be gone.
  Time limit = v.since + j.timeout + j.grace + s.patience.overdue;
  if (s.now < limit) return s.wake_by(limit);
  s.act(CancelOverdue{j.id, "its builder did not stop it at its time limit"});
}

void note_tries(Sight& s) {
  auto note = [&](const Breaker* b) {
    if (b && b->tripped()) s.trying.insert(b);
  };
  for (const PoolSight& pool : s.pools) {
    if (pool.coming == 0) continue;
    for (const VersionView& v : pool.view->versions) note(v.breaker), note(v.losses);
    if (pool.view->platform != nowhere) note(s.seen.platforms[pool.view->platform].quarantine);
  }
}

void judge(Sight& s, Index index) {
  PoolSight& pool = s.pools[index];
  pool.blocked = obstacle(s, pool);
  if (pool.blocked.until) s.wake_by(*pool.blocked.until);
}

// A job ends when none of the pools that could take it has any hope left.
void give_up(Sight& s, Index index) {
  PoolSight& pool = s.pools[index];
  bool tended = pool.main == 1;  // the rollout sees to it
  if (pool.prepare && !tended && (!pool.queued.empty() || pool.idle_wanted() > 0))
    s.act(PrepareImage{index, pool.main});
  if (!pool.hopeless) return;
  std::erase_if(pool.queued, [&](const Queued& q) {
    const auto& pools = s.seen.demands[q.demand].pools;
    bool over = std::all_of(pools.begin(), pools.end(), [&](Index i) { return s.pools[i].hopeless.has_value(); });
    if (over) s.act(FailJob{q.job->id, index, *pool.hopeless});
    return over;
  });
}

bool can_start(const Sight& s, const PoolSight& pool, Index version) {
  const VersionView& v = pool.view->versions[version];
  bool broken = (v.breaker && v.breaker->open(s.now)) || (v.losses && v.losses->open(s.now));
  return v.image.ready && !broken && (!v.starts.after || s.now >= *v.starts.after);
}

}  // namespace mayfly::plan
