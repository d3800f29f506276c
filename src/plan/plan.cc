#include "plan/plan.h"

#include <algorithm>

#include <fmt/format.h>

namespace mayfly::plan {
namespace {

// One pool's share of what was seen.
struct PoolSight {
  PoolView view;                   // spec is null for a pool that is no longer configured
  std::vector<const Job*> queued;  // in the order in which they will be served
  std::vector<const Builder*> ready;
  int coming = 0;                 // requested or starting, without a job
  std::optional<Time> refill_at;  // a job was just handed over: warm builders are not replaced before this
  int busy = 0;
  PoolNumbers numbers;  // warm, min and max as they hold now
  int exist = 0;        // all that are not gone
};

std::string count(int n, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

class Planner {
 public:
  Planner(const Seen& seen, Time now, const Patience& patience) : seen_(seen), now_(now), patience_(patience) {}

  Plan run() {
    survey();
    for (const Builder* b : seen_.builders) check_deadlines(*b);
    for (auto& [name, pool] : pools_) serve(name, pool);
    return std::move(plan_);
  }

 private:
  void survey() {
    for (const auto& [name, view] : seen_.pools) look_at(pools_[name], view);
    std::map<PoolName, std::map<std::string, int>> busy;
    std::map<JobId, const Job*> by_id;
    for (const Job* j : seen_.jobs) {
      if (j->state == JobState::queued)
        pools_[j->spec.pool].queued.push_back(j);
      else
        ++busy[j->spec.pool][j->spec.submitter];
      if (j->state == JobState::assigned) hold_refill(pools_[j->spec.pool], j->assigned_at);
      by_id[j->id] = j;
    }
    jobs_ = std::move(by_id);
    for (const Builder* b : seen_.builders) {
      auto& pool = pools_[b->pool];
      ++pool.exist;
      if (b->state == BuilderState::requested) ++launching_[b->platform];
      bool starting = b->state == BuilderState::requested || b->state == BuilderState::starting;
      if (starting && b->job == 0 && now_ < b->requested_at + patience_.start) ++pool.coming;
      if (b->state == BuilderState::ready) pool.ready.push_back(b);
      if (b->state == BuilderState::busy) ++pool.busy;
    }
    for (auto& [name, pool] : pools_) pool.queued = fair_order(std::move(pool.queued), busy[name]);
  }

  void look_at(PoolSight& pool, const PoolView& view) {
    pool.view = view;
    if (view.schedule)
      pool.numbers = view.schedule->at(now_);
    else
      pool.numbers = {view.spec->warm, view.spec->min, view.spec->max, {}, {}};
    if (pool.numbers.until) wake_by(*pool.numbers.until);
  }

  // Builders that the pool keeps without a job.
  static int idle_wanted(const PoolSight& pool) { return std::max(pool.numbers.warm, pool.numbers.min - pool.busy); }

  void wake_by(Time t) {
    if (!plan_.wake || t < *plan_.wake) plan_.wake = t;
  }

  // A builder or job that is past every deadline: whoever should have ended it did not.
  void check_deadlines(const Builder& b) {
    if (b.state == BuilderState::requested || b.state == BuilderState::starting) {
      Time limit = b.requested_at + patience_.start;
      if (now_ >= limit)
        plan_.actions.push_back(
            StopBuilder{b.id, fmt::format("it was not ready within {}", format_duration(patience_.start))});
      else
        wake_by(limit);
    }
    if (b.state != BuilderState::busy) return;
    auto found = jobs_.find(b.job);
    if (found == jobs_.end()) return;
    const Job& j = *found->second;
    auto pool = seen_.pools.find(j.spec.pool);
    if (pool == seen_.pools.end()) return;
    const Limits& limits = pool->second.spec->limits;
    Time from = j.started_at != Time{} ? j.started_at : j.assigned_at;
    Time limit =
        from + std::min(j.spec.timeout.value_or(limits.timeout), limits.timeout) + limits.grace + patience_.overdue;
    if (now_ >= limit)
      plan_.actions.push_back(CancelOverdue{j.id, "its builder did not stop it at its time limit"});
    else
      wake_by(limit);
  }

  void serve(const PoolName& name, PoolSight& pool) {
    retire_idle(pool);
    assign(pool);
    if (pool.queued.empty() && (!pool.view.spec || idle_wanted(pool) <= 0)) return;
    Reason blocked = obstacle(name, pool);
    if (blocked.code == ReasonCode::none) {
      start(name, pool);
    } else {
      for (const Job* j : pool.queued) plan_.reasons[j->id] = blocked;
      if (blocked.until) wake_by(*blocked.until);
    }
  }

  // Idle builders that nothing will need: of another image than the pool's, of a removed pool, or more than asked for.
  void retire_idle(PoolSight& pool) {
    auto keep = pool.ready.begin();
    for (const Builder* b : pool.ready) {
      std::string why;
      if (!pool.view.spec)
        why = "its pool is no longer configured";
      else if (b->image != pool.view.spec->image)
        why = "its pool uses another image now";
      else if (seen_.shutting_down)
        why = "the daemon is stopping";
      else if (pool.numbers.refresh && b->requested_at < *pool.numbers.refresh)
        why = "idle builders are refreshed by the schedule";
      if (why.empty())
        *keep++ = b;
      else
        plan_.actions.push_back(StopBuilder{b->id, why});
    }
    pool.ready.erase(keep, pool.ready.end());
    int wanted = pool.view.spec ? idle_wanted(pool) + static_cast<int>(pool.queued.size()) : 0;
    while (static_cast<int>(pool.ready.size()) > wanted) {
      plan_.actions.push_back(StopBuilder{pool.ready.back()->id, "nothing waits for it"});
      pool.ready.pop_back();
    }
  }

  void hold_refill(PoolSight& pool, Time handed_over) {
    Time until = handed_over + patience_.refill;
    if (until > now_ && (!pool.refill_at || until > *pool.refill_at)) pool.refill_at = until;
  }

  void assign(PoolSight& pool) {
    // A job's order needs what the image says; after a restart that is not known at once.
    if (seen_.shutting_down || !pool.view.image.ready) return;
    auto n = std::min(pool.queued.size(), pool.ready.size());
    if (n > 0) hold_refill(pool, now_);
    for (std::size_t i = 0; i < n; ++i) plan_.actions.push_back(AssignJob{pool.queued[i]->id, pool.ready[i]->id});
    pool.queued.erase(pool.queued.begin(), pool.queued.begin() + static_cast<std::ptrdiff_t>(n));
    pool.ready.erase(pool.ready.begin(), pool.ready.begin() + static_cast<std::ptrdiff_t>(n));
  }

  // What keeps the whole pool from starting builders now; code none: nothing does.
  Reason obstacle(const PoolName& name, PoolSight& pool) {
    if (!pool.view.spec)
      return {ReasonCode::pool_removed,
              fmt::format("pool '{}' is no longer in the configuration; add it again or cancel the job", name),
              {},
              {}};
    if (seen_.shutting_down)
      return {ReasonCode::shutting_down, "the daemon is stopping; the job stays queued for its next start", {}, {}};
    const PoolSpec& spec = *pool.view.spec;
    auto platform = seen_.platforms.find(spec.platform);
    if (platform == seen_.platforms.end() || !platform->second.available) {
      std::string why = platform == seen_.platforms.end() ? "it is not set up" : platform->second.problem;
      wake_by(now_ + std::chrono::seconds(1));
      bool full = platform != seen_.platforms.end() && platform->second.disk_full;
      return {full ? ReasonCode::disk_full : ReasonCode::platform_unavailable,
              fmt::format("platform '{}' takes no builders: {}", spec.platform, why),
              {},
              {}};
    }
    if (auto r = image_obstacle(name, pool); r.code != ReasonCode::none) return r;
    if (pool.view.failed_starts >= patience_.failed_starts) {
      fail_waiting(pool, JobCause::start_failed,
                   fmt::format("{} builders in a row could not be started; the last: {}", pool.view.failed_starts,
                               pool.view.start_problem));
    }
    if (pool.view.start_after && now_ < *pool.view.start_after)
      return {ReasonCode::start_backoff,
              fmt::format("{} failed ({}); the next try follows",
                          count(pool.view.failed_starts, "start", "starts in a row"), pool.view.start_problem),
              {},
              pool.view.start_after};
    return {};
  }

  Reason image_obstacle(const PoolName& name, PoolSight& pool) {
    const ImageView& image = pool.view.image;
    const std::string& ref = pool.view.spec->image;
    if (image.ready) return {};
    if (image.in_progress)
      return {ReasonCode::image_resolving, fmt::format("image '{}' is being made ready", ref), {}, {}};
    bool hopeless = image.permanent || image.failures >= patience_.failed_images;
    if (!image.problem.empty() && hopeless) fail_waiting(pool, JobCause::image_unavailable, image.problem);
    if (image.retry_at && now_ < *image.retry_at) {
      wake_by(*image.retry_at);
      return {ReasonCode::image_unavailable,
              fmt::format("image '{}' cannot be had: {}", ref, image.problem),
              {},
              image.retry_at};
    }
    plan_.actions.push_back(PrepareImage{name});
    return {ReasonCode::image_resolving, fmt::format("image '{}' is being made ready", ref), {}, {}};
  }

  void fail_waiting(PoolSight& pool, JobCause cause, const std::string& message) {
    for (const Job* j : pool.queued) plan_.actions.push_back(FailJob{j->id, JobResult{cause, 0, 0, message}});
    pool.queued.clear();
  }

  // Starts what is missing, within the pool's max and the platform's launch limit, and says what the rest waits for.
  void start(const PoolName& name, PoolSight& pool) {
    const PoolSpec& spec = *pool.view.spec;
    int demand = static_cast<int>(pool.queued.size());
    int missing = demand + idle_wanted(pool) - pool.coming - static_cast<int>(pool.ready.size());
    if (pool.refill_at && missing > demand - pool.coming) {
      missing = demand - pool.coming;
      wake_by(*pool.refill_at);
    }
    int room = pool.numbers.max - pool.exist;
    int slots = seen_.platforms.at(spec.platform).parallel_launches - launching_[spec.platform];
    int starts = std::max(0, std::min({missing, room, slots}));
    for (int i = 0; i < starts; ++i) {
      bool for_job = pool.coming + i < demand;
      plan_.actions.push_back(StartBuilder{
          name, !for_job, for_job ? "a job waits" : fmt::format("the pool keeps {} ready", idle_wanted(pool))});
    }
    launching_[spec.platform] += starts;
    int coming = pool.coming + starts;
    bool at_max = room <= starts;
    for (int i = 0; i < demand; ++i)
      plan_.reasons[pool.queued[static_cast<std::size_t>(i)]->id] = waiting(pool, i, coming, at_max);
  }

  Reason waiting(const PoolSight& pool, int ahead, int coming, bool at_max) {
    const PoolSpec& spec = *pool.view.spec;
    if (ahead < coming) return {ReasonCode::builder_starting, "a builder is starting for it", {}, {}};
    std::string queue = ahead == 0 ? "it is next" : count(ahead, "job is", "jobs are") + " ahead of it";
    if (at_max && pool.numbers.max == 0)
      return {ReasonCode::pool_at_max,
              fmt::format("the schedule of pool '{}' allows no builders now; {}", spec.name, queue),
              {},
              pool.numbers.until};
    if (at_max)
      return {ReasonCode::pool_at_max,
              fmt::format("pool '{}' has all of its {} builders in use; {}", spec.name, pool.numbers.max, queue),
              {},
              {}};
    return {ReasonCode::launch_limit,
            fmt::format("platform '{}' starts {} builders at a time; {}", spec.platform,
                        seen_.platforms.at(spec.platform).parallel_launches, queue),
            {},
            {}};
  }

  const Seen& seen_;
  const Time now_;
  const Patience& patience_;
  std::map<PoolName, PoolSight> pools_;
  std::map<JobId, const Job*> jobs_;
  std::map<std::string, int> launching_;
  Plan plan_;
};

}  // namespace

Plan plan(const Seen& seen, Time now, const Patience& patience) { return Planner(seen, now, patience).run(); }

}  // namespace mayfly::plan
