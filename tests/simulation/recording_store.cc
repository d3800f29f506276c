#include "tests/simulation/recording_store.h"

#include <algorithm>

namespace mayfly::sim {
namespace {

constexpr auto i1 = "1: a builder runs at most one job";
constexpr auto i2 = "2: a job ends exactly once, in a named state, and truly";
constexpr auto i7 = "7: a builder runs its pool's image, by digest";
constexpr auto i8 = "8: no job and no record is lost";
constexpr auto i9 = "9: the ledger verifies and its story is lawful";
constexpr auto irollout = "a rollout goes forward, by the book, and ends";
constexpr auto imax = "never more builders than the pool's max";
constexpr auto itotal = "never more builders than the platform's total";
constexpr auto irate = "never more launches than the platform's budget";
constexpr auto ilabels = "no job on a builder without its labels";
constexpr auto ibreaker = "what keeps failing is left alone, then tried one at a time";
constexpr auto ibusy = "no busy builder is touched";

bool says(const Batch& batch, std::string_view kind, const std::string& subject) {
  return std::any_of(batch.ledger.begin(), batch.ledger.end(),
                     [&](const auto& e) { return e.kind == kind && e.subject == subject; });
}

std::string name(const Job& j) { return fmt::format("job {} ({})", j.id, to_string(j.state)); }

}  // namespace

Result<void> RecordingStore::commit(const Batch& batch) {
  refused = refused || full;
  if (full) return fail(ErrorCode::exhausted, "the disk is full", "store");
  watch(batch);
  Batch written = batch;
  switch (land_.mutation) {
    case Mutation::store_forgets:
      if (land_.rng.one_in(40)) return {};
      break;
    case Mutation::store_drops_ledger:
      if (land_.rng.one_in(40)) written.ledger.clear();
      break;
    case Mutation::store_half:
      if (written.jobs.size() > 1) written.jobs.pop_back();
      break;
    case Mutation::store_swaps_ledger:
      if (written.ledger.size() > 1) std::swap(written.ledger.front(), written.ledger.back());
      break;
    default:
      break;
  }
  auto done = inner_->commit(written);
  if (!done) broken(i8, "the store refused a batch: " + done.error().text());
  return done;
}

Result<StoreSnapshot> RecordingStore::load() {
  check_all();
  return inner_->load();
}

void RecordingStore::watch(const Batch& batch) {
  std::set<BuilderId> watched;
  for (const auto& entry : batch.ledger) watch_entry(entry);
  for (const auto& version : batch.versions) watch_version(version);
  for (const auto& pool : batch.pools) watch_pool(pool, batch);
  for (const auto& job : batch.jobs) watch_job(job, batch);
  // Those that were there first: a batch is written at once, and one that goes makes room for one that comes.
  for (bool known : {true, false})
    for (const auto& builder : batch.builders)
      if (builders_seen.contains(builder.id) == known && (known || !watched.contains(builder.id))) {
        watched.insert(builder.id);
        watch_builder(builder, batch);
      }
  for (const auto& job : batch.jobs)
    if (!job.builder.empty() && says(batch, "job.assigned", fmt::format("job/{}", job.id)))
      watch_preference(job), watch_repeat(job);
  for (JobId id : batch.forget) {
    auto found = jobs_seen.find(id);
    if (found == jobs_seen.end() || !is_final(found->second.state))
      broken(i2, fmt::format("job {} is forgotten though it has not ended", id));
    forgotten.insert(id);
    keys.erase(found->second.idempotency_key);
  }
}

void RecordingStore::watch_version(const ImageVersion& next) {
  auto [at, fresh] = land_.versions.emplace(fmt::format("{}@{}", next.image, next.number.text()), next);
  if (!fresh && at->second.digest != next.digest)
    broken(i7, fmt::format("{} was {} and becomes {}", at->first, at->second.digest, next.digest));
}

void RecordingStore::watch_pool(const PoolVersions& next, const Batch& batch) {
  auto subject = "pool/" + next.pool;
  const auto last = pools_seen.contains(next.pool) ? pools_seen[next.pool] : PoolVersions();
  const bool promoted =
      next.rollout && next.rollout->state == RolloutState::promoted && next.current == std::optional(next.rollout->to);
  if (next.current != last.current && !promoted && !says(batch, "pool.version", subject) &&
      !says(batch, "rollout.promoted", subject))
    broken(irollout, fmt::format("{} stands on another version without a rollout", next.pool));
  if (next.rollout && last.rollout && next.rollout->to == last.rollout->to &&
      next.rollout->started_at == last.rollout->started_at && next.rollout->state < last.rollout->state)
    broken(irollout, fmt::format("the rollout of {} goes from {} to {}", next.pool, to_string(last.rollout->state),
                                 to_string(next.rollout->state)));
  if (next.rollout && !is_over(next.rollout->state) && next.rollout->from != next.current.value_or(SemVer()))
    broken(irollout, fmt::format("the rollout of {} does not begin where the pool stands", next.pool));
  if (promoted && next.rollout->by.empty() && !next.rollout->asked && next.rollout->new_tally.ready == 0 &&
      land_.shared(next.pool.substr(0, 1)).max == 0)
    broken(irollout, fmt::format("{} of {} is called good, and no builder of it ever came up", next.rollout->to.text(),
                                 next.pool));
  if (next.rollout)
    land_.note("commit pool {}: from {} to {}, {}", next.pool, next.rollout->from.text(), next.rollout->to.text(),
               to_string(next.rollout->state));
  pools_seen[next.pool] = next;
}

// Idle builders of the old version go only once the new one has shown that it comes up.
void RecordingStore::watch_drain(const Builder& last, const Builder& next) {
  if (last.state != BuilderState::ready || next.state != BuilderState::stopping) return;
  if (next.image_version.empty() || !next.cause.ends_with("has taken over")) return;
  auto pool = land_.config.pools.find(next.pool);
  const auto& stands = pools_seen[next.pool];
  if (pool == land_.config.pools.end() || pool->second.warm == 0 || !stands.rollout) return;
  if (stands.rollout->new_tally.ready == 0)
    broken(irollout,
           fmt::format("{} is drained, and no builder of {} has been ready yet", next.id, stands.rollout->to.text()));
}

void RecordingStore::watch_job(const Job& next, const Batch& batch) {
  auto found = jobs_seen.find(next.id);
  auto subject = fmt::format("job/{}", next.id);
  if (found == jobs_seen.end()) {
    if (!says(batch, "job.submitted", subject)) broken(i9, name(next) + " appears without job.submitted");
    if (!next.idempotency_key.empty()) {
      auto [at, fresh] = keys.emplace(next.idempotency_key, next.id);
      if (!fresh)
        broken("one key makes one job", fmt::format("key {} made jobs {} and {}", at->first, at->second, next.id));
    }
  } else {
    const Job& last = found->second;
    if (is_final(last.state)) broken(i2, name(last) + " had ended and is written again as " + name(next));
    bool repeat = next.attempt != last.attempt;
    if (repeat && (next.attempt != 2 || !next.spec.repeatable)) broken(i2, name(next) + " is repeated and must not be");
    if (repeat) repeated[next.id] = Land::pool_of(next.lost_on);
    if (last.state != next.state && !repeat && !may_follow(last.state, next.state) && last.state != JobState::assigned)
      broken(i2, fmt::format("{} becomes {}", name(last), to_string(next.state)));
    bool returned = says(batch, "job.returned", subject);
    if (returned && land_.ran_on[next.id].contains(last.builder))
      broken(i2, name(last) + " is called not begun, and " + last.builder + " had it");
    if (next.state == JobState::queued && last.state != JobState::queued && !repeat && !returned)
      broken(i2, name(last) + " is queued again without being a repeat");
    if (!repeat && !returned && !last.builder.empty() && last.builder != next.builder)
      broken(i1, name(next) + " changed its builder from " + last.builder + " to " + next.builder);
    auto asked = next.spec;
    if (!asked.labels.empty()) asked.pool = last.spec.pool;  // settled when it gets its builder
    if (last.spec != asked) broken(i8, name(next) + " changed its specification");
  }
  if (is_final(next.state)) {
    if (!says(batch, "job.ended", subject)) broken(i9, name(next) + " ended without job.ended");
    watch_end(next);
  }
  if (says(batch, "job.assigned", subject)) ++assignments[next.id], watch_place(next);
  land_.note("commit {} attempt {} on '{}' {}", name(next), next.attempt, next.builder, to_string(next.result.cause));
  jobs_seen[next.id] = next;
}

// The end that is written is the end that was.
void RecordingStore::watch_end(const Job& job) {
  const JobResult& r = job.result;
  if (r.cause == JobCause::none || final_state(r) != job.state)
    broken(i2, fmt::format("{} has the cause {}", name(job), to_string(r.cause)));
  auto truth = land_.finished.find({job.id, job.builder});
  bool told_by_agent = r.cause == JobCause::exited || r.cause == JobCause::signalled ||
                       r.cause == JobCause::oom_killed || r.cause == JobCause::disk_full ||
                       r.cause == JobCause::command_not_found || r.cause == JobCause::output_failed;
  if (told_by_agent) {
    if (truth == land_.finished.end()) broken(i2, name(job) + " is said to have ended by itself and did not");
    const JobResult& t = truth->second.result;
    if (t.cause != r.cause || t.exit_code != r.exit_code || t.signal != r.signal)
      broken(i2, fmt::format("{} ended with {} {}, and {} {} is written", name(job), to_string(t.cause), t.exit_code,
                             to_string(r.cause), r.exit_code));
  }
  if (r.cause == JobCause::timed_out && truth != land_.finished.end() && truth->second.result.cause != r.cause &&
      !refused && truth->second.ended_at < land_.daemon_clock.world_time(job.ended_at))
    broken(i2, name(job) + " had written its result, and is called timed out");
  if (r.cause != JobCause::builder_lost) return;
  // While the disk is full a loss may have been decided that is written much later.
  if (truth != land_.finished.end() && !refused && truth->second.ended_at < land_.daemon_clock.world_time(job.ended_at))
    broken(i2, name(job) + " had written its result, and is called lost with its builder: " + r.message);
  if (!job.builder.empty() && !land_.harmed.contains(job.builder))
    broken(i8,
           fmt::format("{} is lost though nothing was done to its builder {}: {}", name(job), job.builder, r.message));
}

void RecordingStore::watch_builder(const Builder& next, const Batch& batch) {
  auto found = builders_seen.find(next.id);
  auto subject = "builder/" + next.id;
  if (found == builders_seen.end()) {
    if (!says(batch, "builder.requested", subject)) broken(i9, next.id + " appears without builder.requested");
    auto pool = land_.config.pools.find(next.pool);
    if (pool == land_.config.pools.end()) broken(imax, next.id + " is started for a pool that is not configured");
    watch_new_builder(next);
    auto version = land_.versions.find(next.image_version);
    bool released = version != land_.versions.end() && version->second.digest == next.image_digest;
    bool resolved = next.image_version.empty() && land_.digests[next.image].contains(next.image_digest);
    if (next.image != pool->second.image || !(released || resolved))
      broken(i7, fmt::format("{} is started from {} {}", next.id, next.image, next.image_digest));
  } else {
    const Builder& last = found->second;
    if (is_final(last.state))
      broken(i1, next.id + " was gone and is written again as " + std::string(to_string(next.state)));
    if (last.state == BuilderState::stopping && next.state != last.state && !is_final(next.state))
      broken(i1, next.id + " was stopping and is used again");
    if (last.job != 0 && last.job != next.job)
      broken(i1, fmt::format("{} had job {} and gets {}", next.id, last.job, next.job));
    watch_drain(last, next);
    watch_stop(last, next);
    if (last.image_digest != next.image_digest) broken(i7, next.id + " changed its digest");
  }
  land_.note("commit builder {} {} job {} {}", next.id, to_string(next.state), next.job, next.cause);
  if (is_final(next.state)) gone_at[next.id] = land_.now();
  builders_seen[next.id] = next;
}

// A job that has begun is not worth less than whatever its builder is to make room for.
void RecordingStore::watch_stop(const Builder& last, const Builder& next) const {
  if (last.state != BuilderState::busy || next.state != BuilderState::stopping) return;
  const Job& j = jobs_seen.at(next.job);
  if (j.builder == next.id && (j.state == JobState::assigned || j.state == JobState::running))
    broken(ibusy, fmt::format("{} is stopped under {}: {}", next.id, name(j), next.cause));
}

void RecordingStore::watch_new_builder(const Builder& next) {
  const PoolSpec& pool = land_.config.pools.at(next.pool);
  int in_pool = 0, on_platform = 0, trying = 0;
  for (const auto& [id, b] : builders_seen) {
    if (is_final(b.state)) continue;
    in_pool += b.pool == next.pool;
    on_platform += b.platform == next.platform;
    trying += b.pool == next.pool && b.image_digest == next.image_digest &&
              (b.state == BuilderState::requested || b.state == BuilderState::starting);
  }
  if (int max = land_.numbers(pool, next.requested_at).max; in_pool >= max)
    broken(imax, fmt::format("{} is started beside {} others, and max is {}", next.id, in_pool, max));
  const PlatformSpec& shared = land_.shared(next.platform);
  if (shared.max > 0 && on_platform >= shared.max)
    broken(itotal, fmt::format("{} is started beside {} on {}, and its total is {}", next.id, on_platform,
                               next.platform, shared.max));
  // While the store was full nothing was decided; this was, before.
  if (shared.launches_per_minute > 0 && !spent_[next.platform].take(shared.launches_per_minute, land_.planned_at))
    broken(irate, fmt::format("{} is one more than {} a minute", next.id, shared.launches_per_minute));
  if (auto all = quarantined_.find(next.platform);
      all != quarantined_.end() && all->second.rests(land_.planned_at, land_.blur()))
    broken(ibreaker,
           fmt::format("{} is started on {} right after {} failures", next.id, next.platform, all->second.failures));
  auto bad = failing_.find({next.platform, next.image_digest});
  if (bad == failing_.end() || bad->second.failures < bad->second.limit) return;
  if (bad->second.rests(land_.planned_at, land_.blur()))
    broken(ibreaker, fmt::format("{} is started right after {} failures", next.id, bad->second.failures));
  if (trying > 0)
    broken(ibreaker,
           fmt::format("{} is tried beside {} others, after {} failures", next.id, trying, bad->second.failures));
}

void RecordingStore::watch_failing(const LedgerDraft& e) {
  if (e.kind == "image.ready" && e.subject.starts_with("pool/")) with_image_.insert(e.subject.substr(5));
  if (e.kind != "builder.start-failed" && e.kind != "builder.ready") return;
  const Builder& b = builders_seen.at(e.subject.substr(8));
  if (e.kind == "builder.ready" && b.ready_at != Time{}) broken(i9, b.id + " is ready for the first time once more");
  auto& version = failing_[{b.platform, b.image_digest}];
  auto& platform = quarantined_.try_emplace(b.platform, Failing{.limit = 10, .versions = 2}).first->second;
  if (e.kind == "builder.ready") version = {}, platform = {.limit = 10, .versions = 2};
  for (Failing* f : {&version, &platform}) {
    if (e.kind == "builder.start-failed") f->failed(land_.now(), b.image_digest, land_.blur());
    f->unsure = f->unsure || refused;  // written late
  }
}

void RecordingStore::watch_place(const Job& next) {
  if (next.builder.empty()) return;  // and lost again while nothing could be written
  auto pool = land_.config.pools.find(Land::pool_of(next.builder));
  if (pool == land_.config.pools.end()) broken(ilabels, name(next) + " is given to a pool that is not configured");
  if (next.spec.pool != pool->first) broken(ilabels, name(next) + " is given to a builder of " + pool->first);
  if (!next.spec.labels.empty() && !serves(pool->second, next.spec))
    broken(ilabels,
           fmt::format("{} wants {} and is given to {}", name(next), fmt::join(next.spec.labels, "+"), next.builder));
}

// Where nothing goes wrong it is known what the planner has to do: a builder that is ready in a pool that the job likes
// better is not left idle.
void RecordingStore::watch_preference(const Job& j) const {
  if (!land_.isolation || j.spec.labels.empty() || repeated.contains(j.id)) return;
  const PoolSpec& has = land_.config.pools.at(j.spec.pool);
  for (const auto& [pool, spec] : land_.config.pools) {
    if (spec.platform != "a" || !preferred(spec, has) || !serves(spec, j.spec)) continue;
    if (BuilderId idle; idle_in(pool, idle))
      broken("a job goes to the pool that it likes best",
             fmt::format("{} is given to {}, and {} is idle", name(j), j.builder, idle));
  }
}

// Whether the pool has a builder left that any of its jobs could have.
bool RecordingStore::idle_in(const PoolName& pool, BuilderId& id) const {
  const PoolSpec& spec = land_.config.pools.at(pool);
  if (versioned_image(spec, land_.config.images) || !with_image_.contains(pool)) return false;
  auto found = std::find_if(builders_seen.begin(), builders_seen.end(), [&](const auto& b) {
    return b.second.pool == pool && b.second.state == BuilderState::ready;
  });
  if (found != builders_seen.end()) id = found->first;
  return found != builders_seen.end();
}

// The place where a job was lost is not the one to try again while a builder is idle on another platform.
void RecordingStore::watch_repeat(const Job& j) const {
  auto lost = repeated.find(j.id);
  if (lost == repeated.end() || j.spec.labels.empty() || j.spec.pool.front() != lost->second.front()) return;
  if (land_.faults.images_vanish || (land_.healed && !land_.isolation)) return;  // what is idle may be of no use
  for (const auto& [pool, spec] : land_.config.pools)
    if (BuilderId idle; pool.front() != lost->second.front() && serves(spec, j.spec) && idle_in(pool, idle))
      broken("a repeat is made elsewhere", fmt::format("{} was lost in {} and is given to {}, and {} is idle", name(j),
                                                       lost->second, j.builder, idle));
}

void RecordingStore::watch_entry(const LedgerDraft& entry) {
  ++entries;
  watch_failing(entry);
  if (entry.subject.starts_with("job/")) watch_job_entry(stories_[entry.subject], entry);
  if (entry.subject.starts_with("builder/")) watch_builder_entry(stories_[entry.subject], entry);
}

void RecordingStore::watch_job_entry(Story& s, const LedgerDraft& e) {
  auto unlawful = [&](const char* why) {
    broken(i9, fmt::format("{}: {} after {}: {}", e.subject, e.kind, s.last, why));
  };
  if (s.told.empty() != (e.kind == "job.submitted")) unlawful("a job's story begins once, with job.submitted");
  if (s.told.contains("job.ended")) unlawful("the story was over");
  if (e.kind == "job.returned" && --s.assigned < 0) unlawful("returned without being assigned");
  if (e.kind == "job.assigned" && ++s.assigned > 1 + static_cast<int>(s.told.contains("job.repeated")))
    unlawful("assigned twice");
  if (e.kind == "job.started" && ++s.started > s.assigned) unlawful("started more often than assigned");
  if (e.kind == "job.repeated" && (s.assigned != 1 || s.told.contains(e.kind))) unlawful("only one repeat");
  s.told.insert(e.kind);
  s.last = e.kind;
}

void RecordingStore::watch_builder_entry(Story& s, const LedgerDraft& e) {
  static const std::set<std::string> once = {"builder.requested", "builder.started", "builder.start-failed",
                                             "builder.stopping",  "builder.gone",    "builder.lost"};
  auto unlawful = [&](const char* why) {
    broken(i9, fmt::format("{}: {} after {}: {}", e.subject, e.kind, s.last, why));
  };
  bool orphan = e.kind == "builder.orphan-removed";
  if (orphan && !s.told.empty() && !s.told.contains("builder.gone") && !s.told.contains("builder.lost"))
    unlawful("an orphan that somebody owns");
  if (orphan) return;
  if (s.told.empty() != (e.kind == "builder.requested"))
    unlawful("a builder's story begins once, with builder.requested");
  if (s.told.contains("builder.gone") || s.told.contains("builder.lost")) unlawful("the story was over");
  if (once.contains(e.kind) && s.told.contains(e.kind)) unlawful("told twice");
  if (e.kind == "builder.gone" && !s.told.contains("builder.stopping")) unlawful("gone without being stopped");
  if (e.kind == "builder.ready" && s.told.contains("builder.stopping")) unlawful("ready though it is being stopped");
  s.told.insert(e.kind);
  s.last = e.kind;
}

void RecordingStore::check_all() {
  for (const auto& [id, job] : jobs_seen) {
    auto stored = inner_->job(id);
    if (!stored) broken(i8, "the store does not answer: " + stored.error().text());
    if (forgotten.contains(id)) continue;
    if (!*stored) broken(i8, name(job) + " was written and is not there");
    if ((*stored)->state != job.state || (*stored)->builder != job.builder)
      broken(i8, fmt::format("{} was written and {} is there", name(job), name(**stored)));
  }
  auto checked = inner_->verify_ledger();
  if (!checked) broken(i9, checked.error().text());
  if (checked->entries != entries)
    broken(i9, fmt::format("{} entries were written and {} are there", entries, checked->entries));
}

void RecordingStore::check_story_ends() {
  // The order in the store itself, not that in which it was handed over.
  std::map<std::string, std::string> last;
  auto all = inner_->ledger(0, entries + 1);
  if (!all) broken(i9, all.error().text());
  for (const auto& e : *all) {
    bool first = !last.contains(e.subject);
    bool begins = e.kind == "job.submitted" || e.kind == "builder.requested";
    bool thing = e.subject.starts_with("job/") || e.subject.starts_with("builder/");
    if (e.kind == "builder.orphan-removed") continue;
    if (thing && first != begins) broken(i9, e.subject + ": its story as stored does not begin with its beginning");
    if (last[e.subject] == "job.ended" || last[e.subject] == "builder.gone")
      broken(i9, e.subject + ": its story as stored goes on after its end, with " + e.kind);
    last[e.subject] = e.kind;
  }
}

}  // namespace mayfly::sim
