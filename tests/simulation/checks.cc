#include "tests/simulation/checks.h"

namespace mayfly::sim {
namespace {

constexpr auto i1 = "1: a builder runs at most one job";
constexpr auto i2 = "2: a job ends exactly once, in a named state, and truly";
constexpr auto i3 = "3: a queued job has one reason";
constexpr auto i4 = "4: no builder outlives its job by more than its grace";
constexpr auto i5 = "5: of a builder that is gone nothing remains";
constexpr auto i10 = "10: a broken platform stops no other";
// What may pass on top of the grace period: slow calls, a stop that is tried again, an orphan's discovery.
constexpr Duration bound = std::chrono::minutes(4);
constexpr Duration cancel_bound = std::chrono::minutes(2);

}  // namespace

void Checks::after_step() {
  latest_ = std::max(latest_, land_.daemon_clock.now());
  counts();
  builders();
  cancelled();
  // Nothing is planned in the step in which the store can be written to again.
  if (daemon_.up() && !std::exchange(store_.refused, store_.full)) return reasons();
  told_.clear();
  if (daemon_.up()) count_up();
}

void Checks::counts() {
  for (auto& [name, place] : land_.places) {
    auto c = place->fake.counts();
    if (c.most_jobs_of_a_builder > 1) broken(i1, "a builder was offered two jobs");
    if (c.second_lives > 0) broken(i1, "a builder's id was used again");
  }
  for (const auto& [job, builders] : land_.ran_on) {
    if (builders.size() < 2) continue;
    auto known = store_.jobs_seen.find(job);
    if (known == store_.jobs_seen.end() || !known->second.spec.repeatable || builders.size() > 2)
      broken(i2, fmt::format("job {} ran on {} builders", job, builders.size()));
  }
}

// Why a builder that exists should not; empty: it may.
std::string Checks::unneeded(const BuilderId& id) const {
  auto known = store_.builders_seen.find(id);
  if (known == store_.builders_seen.end()) return "nobody asked for it";
  const Builder& b = known->second;
  if (is_final(b.state)) return "it is said to be gone";
  if (b.state == BuilderState::stopping) return "it is being stopped: " + b.cause;
  auto job = store_.jobs_seen.find(b.job);
  return b.job != 0 && is_final(job->second.state) ? "its job has ended" : "";
}

void Checks::builders() {
  for (auto& [name, place] : land_.places)
    for (const auto& seen : place->fake.builders()) leftover(*place, seen.id);
}

void Checks::leftover(Place& place, const BuilderId& id) {
  auto why = unneeded(id);
  if (why.empty()) {
    unneeded_since_.erase(id);
    return;
  }
  // One that came to be after its stop is an orphan: its daemon was killed, and its launch was still on its way.
  auto stopped = land_.stopped.find(id);
  if (store_.gone_at.contains(id) && (stopped == land_.stopped.end() || land_.launched[id].at <= stopped->second))
    broken(i5, id + " is said to be gone, and something of it is there");
  Duration clock = land_.now().time_since_epoch() - place.excused;
  auto [since, fresh] = unneeded_since_.emplace(id, clock);
  if (clock - since->second > bound)
    broken(i4, fmt::format("{} is still there {} after: {}", id, format_duration(clock - since->second), why));
}

// Without the time in which nothing could have become of it. A job of no pool may have been anywhere.
Duration Checks::clock_of(const Job& job) const {
  Duration clock = land_.now().time_since_epoch();
  for (auto& [name, place] : land_.places)
    if (!job.spec.labels.empty() || job.spec.pool.starts_with(name)) clock -= place->excused;
  return clock;
}

void Checks::cancelled() {
  for (const auto& [id, job] : store_.jobs_seen) {
    if (is_final(job.state) || !job.cancel_requested) continue;
    Duration clock = clock_of(job);
    auto [since, fresh] = cancelled_since_.emplace(id, clock);
    if (clock - since->second > cancel_bound + land_.jumped_back)
      broken(i2, fmt::format("job {} was cancelled {} ago and is {}", id, format_duration(clock - since->second),
                             to_string(job.state)));
  }
}

void Checks::reasons() {
  auto n = count_up();
  for (auto& [name, place] : land_.places)
    if (n.requested[name] > land_.parallel_launches(name))
      broken("launches per platform are bounded", fmt::format("{} launches at once on {}", n.requested[name], name));
  for (auto& [id, known] : store_.jobs_seen) {
    if (is_final(known.state)) continue;
    auto job = daemon_.core().job(id);
    if (!job) broken("8: no job and no record is lost", job.error().text());
    if (job->state != JobState::queued) continue;
    reason(*job, n);
    n.short_of_room[job->spec.pool] += job->spec.labels.empty() && job->waiting.code == ReasonCode::platform_at_max;
  }
  fair(n);
}

Checks::Numbered Checks::count_up() {
  Numbered n;
  auto all = daemon_.core().builders(false);
  auto newest = newest_;
  for (const auto& b : *all) {
    ++n.exist[b.pool], ++n.on_platform[b.platform];
    n.coming[b.pool] += b.state == BuilderState::requested || b.state == BuilderState::starting;
    n.requested[b.platform] += b.state == BuilderState::requested;
    auto number = builder_number(b.id);
    if (number > newest_) ++(b.warm ? n.warmed : n.started)[b.pool];
    newest = std::max(newest, number);
  }
  newest_ = newest;
  return n;
}

// Nobody gets more of a full platform while another has less for its weight and jobs that wait for it; and nobody gets
// builders ahead of jobs while jobs wait.
void Checks::fair(const Numbered& n) const {
  constexpr auto invariant = "pools share their platform by weight";
  auto load = [](const std::map<PoolName, int>& exist, const PoolSpec& p, int less) {
    return (exist.contains(p.name) ? exist.at(p.name) - less : 0) / p.weight;
  };
  for (const auto& [poor, jobs] : n.short_of_room) {
    auto p = land_.config.pools.find(poor);
    if (jobs == 0 || p == land_.config.pools.end()) continue;
    for (const auto& [rich, r] : land_.config.pools) {
      if (rich == poor || r.platform != p->second.platform) continue;
      if (n.warmed.contains(rich))
        broken(invariant, fmt::format("{} gets builders to be idle while {} jobs of {} wait", rich, jobs, poor));
      if (n.started.contains(rich) && load(n.exist, r, 1) > load(n.exist, p->second, 0) + 1e-9)
        broken(invariant, fmt::format("{} has {} builders by weight and gets one more; {} has {} and {} jobs that wait",
                                      rich, load(n.exist, r, 1), poor, load(n.exist, p->second, 0), jobs));
    }
  }
}

void Checks::reason(const Job& job, const Numbered& n) {
  const Reason& r = job.waiting;
  auto wrong = [&](const std::string& why) {
    broken(i3, fmt::format("job {} waits for {} ({}): {}", job.id, to_string(r.code), r.text, why));
  };
  if (r.code == ReasonCode::none || r.code == ReasonCode::submitted || r.text.empty()) wrong("that is no reason");
  if (r.since == Time{} || r.since > latest_)
    wrong(fmt::format("since when? {} us, and it was never later than {} us", to_micros(r.since), to_micros(latest_)));
  auto& told = told_[job.id];
  bool same = told.generation == land_.generation && told.assignments == store_.assignments[job.id] &&
              told.reason.code == r.code;
  if (same && told.reason.since != r.since) wrong("the same reason has a new beginning");
  told = {land_.generation, store_.assignments[job.id], r};
  job.spec.labels.empty() ? own_pool(job, n, wrong) : choice(job, n, wrong);
}

void Checks::own_pool(const Job& job, const Numbered& n, const std::function<void(const std::string&)>& wrong) {
  const Reason& r = job.waiting;
  auto number = [&](const std::map<PoolName, int>& of) {
    return of.contains(job.spec.pool) ? of.at(job.spec.pool) : 0;
  };
  auto pool = land_.config.pools.find(job.spec.pool);
  if ((pool == land_.config.pools.end()) != (r.code == ReasonCode::pool_removed)) wrong("is its pool configured?");
  if (pool == land_.config.pools.end()) return;
  int max = land_.numbers(pool->second, land_.daemon_clock.now()).max, total = land_.shared(pool->second.platform).max;
  if (r.code == ReasonCode::pool_at_max && number(n.exist) < max)
    wrong(fmt::format("{} builders exist, and max is {}", number(n.exist), max));
  if (r.code == ReasonCode::platform_at_max && total == 0) wrong("there is no such limit");
  if (r.code == ReasonCode::rate_limited && land_.shared(pool->second.platform).launches_per_minute == 0)
    wrong("there is no such limit");
  if (r.code == ReasonCode::builder_starting && number(n.coming) == 0) wrong("none is starting");
  if (r.code == ReasonCode::platform_unavailable && land_.isolation && pool->second.platform == "a" &&
      land_.now() > from_micros(1'000'000'000) + std::chrono::minutes(1))
    wrong("that platform is well");
}

// A job that asks for labels waits for a full pool only if each of its pools is full that nothing is wrong with.
void Checks::choice(const Job& job, const Numbered& n, const std::function<void(const std::string&)>& wrong) const {
  auto code = job.waiting.code;
  bool any = false, at_max = code == ReasonCode::pool_at_max || code == ReasonCode::platform_at_max;
  // Room may be promised to others, whose builders cannot be launched all at once.
  const PlatformSpec& a = land_.shared("a");
  auto of = [](const auto& numbers, const std::string& key) { return numbers.contains(key) ? numbers.at(key) : 0; };
  bool promised = a.max > 0 || a.launches_per_minute > 0 || of(n.requested, "a") >= land_.parallel_launches("a");
  for (const auto& [name, pool] : land_.config.pools) {
    if (!serves(pool, job.spec)) continue;
    any = true;
    if (!land_.isolation || pool.platform != "a" || !at_max || promised || !store_.has_image(name)) continue;
    if (versioned_image(pool, land_.config.images)) continue;
    if (of(n.exist, name) < land_.numbers(pool, land_.daemon_clock.now()).max)
      wrong(fmt::format("{} has room for it", name));
  }
  if (any == (code == ReasonCode::no_pool)) wrong("is there a pool for it?");
}

// Whether the platform on which nothing goes wrong could run it.
bool Checks::waits_well(const Job& job) const {
  if (job.spec.labels.empty()) return job.spec.pool.starts_with("a");
  return std::any_of(land_.config.pools.begin(), land_.config.pools.end(),
                     [&](const auto& p) { return p.second.platform == "a" && serves(p.second, job.spec); });
}

bool Checks::well_ones_over() const {
  return std::all_of(store_.jobs_seen.begin(), store_.jobs_seen.end(),
                     [this](const auto& j) { return is_final(j.second.state) || !waits_well(j.second); });
}

// Nothing went wrong on platform "a": none of its jobs may end by anybody's fault but its own.
void Checks::isolation() const {
  for (const auto& [id, job] : store_.jobs_seen) {
    if (!waits_well(job)) continue;
    if (!is_final(job.state)) broken(i10, fmt::format("job {} is still {}", id, to_string(job.state)));
    auto c = job.result.cause;
    bool elsewhere = !job.builder.starts_with("a") && c == JobCause::builder_lost;
    if ((c == JobCause::builder_lost && !elsewhere) || c == JobCause::start_failed || c == JobCause::image_unavailable)
      broken(i10,
             fmt::format("job {} on the healthy platform ended with {}: {}", id, to_string(c), job.result.message));
  }
}

// Nothing idle is older than the last time at which the schedule replaces what is idle.
bool Checks::refreshed(const PoolSpec& pool) const {
  Time refresh = land_.numbers(pool, land_.daemon_clock.now()).refresh;
  return std::none_of(store_.builders_seen.begin(), store_.builders_seen.end(), [&](const auto& b) {
    return b.second.pool == pool.name && b.second.state == BuilderState::ready && b.second.requested_at < refresh;
  });
}

// What is not yet as it has to be once all is healed and over; empty: nothing.
std::string Checks::restless() const {
  std::map<std::string, int> wanted, there;
  for (const auto& [name, pool] : land_.config.pools) {
    int living = 0;
    for (const auto& seen : land_.places.at(pool.platform)->fake.builders()) {
      if (Land::pool_of(seen.id) != name) continue;
      auto known = store_.builders_seen.find(seen.id);
      if (!seen.alive || known == store_.builders_seen.end() || known->second.state != BuilderState::ready)
        return seen.id + " is not ready";
      ++living;
    }
    int idle = land_.numbers(pool, land_.daemon_clock.now()).idle();
    bool shared = land_.shared(pool.platform).max > 0;  // those that are to be idle may be more than it has room for
    if (living > idle || (!shared && living < idle)) return fmt::format("{} has {} of {}", name, living, idle);
    wanted[pool.platform] += idle, there[pool.platform] += living;
    if (!refreshed(pool)) return name + " has builders of before the last refresh";
    auto stands = store_.pools_seen.find(name);
    if (stands != store_.pools_seen.end() && stands->second.rollout && !is_over(stands->second.rollout->state) &&
        versioned_image(pool, land_.config.images))
      return fmt::format("the rollout of {} is {}", name, to_string(stands->second.rollout->state));
  }
  for (const auto& [platform, sum] : wanted) {
    int total = land_.shared(platform).max, all = total > 0 ? std::min(total, sum) : sum;
    if (there[platform] != all) return fmt::format("{} has {} builders of {}", platform, there[platform], all);
  }
  return {};
}

void Checks::at_rest() const {
  if (auto left = clients_.unfinished()) broken(i2, "the world is healed, and still " + *left);
  if (auto why = restless(); !why.empty()) broken(i5, "the world is healed and nothing waits, but " + why);
  clients_.check_accepted();
}

void Checks::at_end() const {
  for (auto& [name, place] : land_.places)
    for (const auto& seen : place->fake.builders()) broken(i5, "the daemon has stopped, and there is still " + seen.id);
  for (const auto& [id, b] : store_.builders_seen)
    if (!is_final(b.state)) broken(i4, fmt::format("the daemon has stopped, and {} is {}", id, to_string(b.state)));
  store_.check_all();
  store_.check_story_ends();
}

}  // namespace mayfly::sim
