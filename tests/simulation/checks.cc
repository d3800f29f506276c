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

void Checks::cancelled() {
  for (const auto& [id, job] : store_.jobs_seen) {
    if (is_final(job.state) || !job.cancel_requested) continue;
    const Place& place = *land_.places.at(job.spec.pool.substr(0, 1));
    Duration clock = land_.now().time_since_epoch() - place.excused;
    auto [since, fresh] = cancelled_since_.emplace(id, clock);
    if (clock - since->second > cancel_bound + land_.jumped_back)
      broken(i2, fmt::format("job {} was cancelled {} ago and is {}", id, format_duration(clock - since->second),
                             to_string(job.state)));
  }
}

void Checks::reasons() {
  std::map<PoolName, int> exist, coming;
  std::map<std::string, int> requested;
  auto all = daemon_.core().builders(false);
  for (const auto& b : *all) {
    ++exist[b.pool];
    coming[b.pool] += b.state == BuilderState::requested || b.state == BuilderState::starting;
    requested[b.platform] += b.state == BuilderState::requested;
  }
  for (auto& [name, place] : land_.places)
    if (requested[name] > place->platform.parallel_launches())
      broken("launches per platform are bounded", fmt::format("{} launches at once on {}", requested[name], name));
  for (auto& [id, known] : store_.jobs_seen) {
    if (is_final(known.state)) continue;
    auto job = daemon_.core().job(id);
    if (!job) broken("8: no job and no record is lost", job.error().text());
    if (job->state == JobState::queued) reason(*job, exist, coming);
  }
}

void Checks::reason(const Job& job, const std::map<PoolName, int>& exist, const std::map<PoolName, int>& coming) {
  const Reason& r = job.waiting;
  auto wrong = [&](const std::string& why) {
    broken(i3, fmt::format("job {} waits for {} ({}): {}", job.id, to_string(r.code), r.text, why));
  };
  auto number = [&](const std::map<PoolName, int>& of) {
    return of.contains(job.spec.pool) ? of.at(job.spec.pool) : 0;
  };
  if (r.code == ReasonCode::none || r.code == ReasonCode::submitted || r.text.empty()) wrong("that is no reason");
  if (r.since == Time{} || r.since > latest_)
    wrong(fmt::format("since when? {} us, and it was never later than {} us", to_micros(r.since), to_micros(latest_)));
  auto& told = told_[job.id];
  bool same = told.generation == land_.generation && told.assignments == store_.assignments[job.id] &&
              told.reason.code == r.code;
  if (same && told.reason.since != r.since) wrong("the same reason has a new beginning");
  told = {land_.generation, store_.assignments[job.id], r};
  auto pool = land_.config.pools.find(job.spec.pool);
  if ((pool == land_.config.pools.end()) != (r.code == ReasonCode::pool_removed)) wrong("is its pool configured?");
  if (pool == land_.config.pools.end()) return;
  if (r.code == ReasonCode::pool_at_max && number(exist) < pool->second.max)
    wrong(fmt::format("{} builders exist, and max is {}", number(exist), pool->second.max));
  if (r.code == ReasonCode::builder_starting && number(coming) == 0) wrong("none is starting");
  if (r.code == ReasonCode::platform_unavailable && land_.isolation && pool->second.platform == "a" &&
      land_.now() > from_micros(1'000'000'000) + std::chrono::minutes(1))
    wrong("that platform is well");
}

// Nothing went wrong on platform "a": none of its jobs may end by anybody's fault but its own.
void Checks::isolation() const {
  for (const auto& [id, job] : store_.jobs_seen) {
    if (!job.spec.pool.starts_with("a")) continue;
    if (!is_final(job.state)) broken(i10, fmt::format("job {} is still {}", id, to_string(job.state)));
    auto c = job.result.cause;
    if (c == JobCause::builder_lost || c == JobCause::start_failed || c == JobCause::image_unavailable)
      broken(i10,
             fmt::format("job {} on the healthy platform ended with {}: {}", id, to_string(c), job.result.message));
  }
}

bool Checks::rests() const {
  for (const auto& [name, pool] : land_.config.pools) {
    int living = 0;
    for (const auto& seen : land_.places.at(pool.platform)->fake.builders()) {
      if (Land::pool_of(seen.id) != name) continue;
      auto known = store_.builders_seen.find(seen.id);
      if (!seen.alive || known == store_.builders_seen.end() || known->second.state != BuilderState::ready)
        return false;
      ++living;
    }
    if (living != pool.warm) return false;
    auto stands = store_.pools_seen.find(name);
    if (stands != store_.pools_seen.end() && stands->second.rollout && !is_over(stands->second.rollout->state) &&
        versioned_image(pool, land_.config.images))
      return false;
  }
  return true;
}

void Checks::at_rest() const {
  if (auto left = clients_.unfinished()) broken(i2, "the world is healed, and still " + *left);
  if (!rests()) broken(i5, "the world is healed and nothing waits, but not exactly the warm builders are there");
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
