// What went wrong or takes too long: deadlines, and what keeps a pool from starting builders.
#include <fmt/format.h>

#include "plan/sight.h"

namespace mayfly::plan {
namespace {

void fail_waiting(Sight& s, PoolSight& pool, JobCause cause, const std::string& message) {
  for (const Queued& q : pool.queued) s.act(FailJob{q.job->id, JobResult{cause, 0, 0, message}});
  pool.queued.clear();
}

Cause platform_obstacle(Sight& s, const PoolView& view) {
  const PlatformView* platform = view.platform == nowhere ? nullptr : &s.seen.platforms[view.platform];
  if (platform && platform->available) return {};
  s.wake_by(s.now + std::chrono::seconds(1));
  return {platform && platform->disk_full ? ReasonCode::disk_full : ReasonCode::platform_unavailable,
          fmt::format("platform '{}' takes no builders: {}", view.spec->platform,
                      platform ? platform->problem : "it is not set up"),
          {},
          false};
}

Cause image_obstacle(Sight& s, Index index) {
  PoolSight& pool = s.pools[index];
  const ImageView& image = pool.view->versions.front().image;
  const std::string& ref = pool.view->spec->image;
  if (image.ready) return {};
  Cause under_way{ReasonCode::image_resolving, fmt::format("image '{}' is being made ready", ref), {}, false};
  if (image.in_progress) return under_way;
  bool hopeless = image.permanent || image.failures >= s.patience.failed_images;
  if (!image.problem.empty() && hopeless) fail_waiting(s, pool, JobCause::image_unavailable, image.problem);
  if (image.retry_at && s.now < *image.retry_at)
    return {ReasonCode::image_unavailable, fmt::format("image '{}' cannot be had: {}", ref, image.problem),
            image.retry_at, false};
  s.act(PrepareImage{index, 0});
  return under_way;
}

Cause starts_obstacle(Sight& s, PoolSight& pool) {
  const StartsView& starts = pool.view->versions.front().starts;
  if (starts.failed >= s.patience.failed_starts)
    fail_waiting(s, pool, JobCause::start_failed,
                 fmt::format("{} builders in a row could not be started; the last: {}", starts.failed, starts.problem));
  if (!starts.after || s.now >= *starts.after) return {};
  return {ReasonCode::start_backoff,
          fmt::format("{} failed ({}); the next try follows", count(starts.failed, "start", "starts in a row"),
                      starts.problem),
          starts.after, false};
}

}  // namespace

void check_start(Sight& s, const Builder& b) {
  if (b.state != BuilderState::requested && b.state != BuilderState::starting) return;
  Time limit = b.requested_at + s.patience.start;
  if (s.now < limit) return s.wake_by(limit);
  s.act(StopBuilder{b.id, fmt::format("it was not ready within {}", format_duration(s.patience.start))});
}

// A job that is past every limit: its agent should have ended it and did not.
void check_end(Sight& s, const JobView& v) {
  const Job& j = *v.job;
  if (j.timeout == Duration{}) return;
  // What its builder was told holds: the pool's limits may have changed since, or the pool be gone.
  Time from = j.started_at != Time{} ? j.started_at : j.assigned_at;
  Time limit = from + j.timeout + j.grace + s.patience.overdue;
  if (s.now < limit) return s.wake_by(limit);
  s.act(CancelOverdue{j.id, "its builder did not stop it at its time limit"});
}

// What keeps the whole pool from starting builders now. Jobs for which there is no hope are failed on the way.
Cause obstacle(Sight& s, Index index) {
  PoolSight& pool = s.pools[index];
  const PoolView& view = *pool.view;
  if (!view.spec)
    return {ReasonCode::pool_removed,
            fmt::format("pool '{}' is no longer in the configuration; add it again or cancel the job", view.name),
            {},
            false};
  if (s.seen.shutting_down)
    return {ReasonCode::shutting_down, "the daemon is stopping; the job stays queued for its next start", {}, false};
  if (auto c = platform_obstacle(s, view); c.code != ReasonCode::none) return c;
  if (auto c = image_obstacle(s, index); c.code != ReasonCode::none) return c;
  return starts_obstacle(s, pool);
}

}  // namespace mayfly::plan
