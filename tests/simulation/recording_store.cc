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
  if (next.current != last.current && !promoted && !says(batch, "pool.version", subject))
    broken(irollout, fmt::format("{} stands on another version without a rollout", next.pool));
  if (next.rollout && last.rollout && next.rollout->to == last.rollout->to &&
      next.rollout->started_at == last.rollout->started_at && next.rollout->state < last.rollout->state)
    broken(irollout, fmt::format("the rollout of {} goes from {} to {}", next.pool, to_string(last.rollout->state),
                                 to_string(next.rollout->state)));
  if (next.rollout && !is_over(next.rollout->state) && next.rollout->from != next.current.value_or(SemVer()))
    broken(irollout, fmt::format("the rollout of {} does not begin where the pool stands", next.pool));
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
    if (last.state != next.state && !repeat && !may_follow(last.state, next.state) && last.state != JobState::assigned)
      broken(i2, fmt::format("{} becomes {}", name(last), to_string(next.state)));
    bool returned = says(batch, "job.returned", subject);
    if (returned && land_.ran_on[next.id].contains(last.builder))
      broken(i2, name(last) + " is called not begun, and " + last.builder + " had it");
    if (next.state == JobState::queued && last.state != JobState::queued && !repeat && !returned)
      broken(i2, name(last) + " is queued again without being a repeat");
    if (!repeat && !returned && !last.builder.empty() && last.builder != next.builder)
      broken(i1, name(next) + " changed its builder from " + last.builder + " to " + next.builder);
    if (last.spec != next.spec) broken(i8, name(next) + " changed its specification");
  }
  if (is_final(next.state)) {
    if (!says(batch, "job.ended", subject)) broken(i9, name(next) + " ended without job.ended");
    watch_end(next);
  }
  if (says(batch, "job.assigned", subject)) ++assignments[next.id];
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
    auto exist = std::count_if(builders_seen.begin(), builders_seen.end(),
                               [&](const auto& b) { return b.second.pool == next.pool && !is_final(b.second.state); });
    if (exist >= pool->second.max)
      broken(imax, fmt::format("{} is started beside {} others, and max is {}", next.id, exist, pool->second.max));
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
    if (last.image_digest != next.image_digest) broken(i7, next.id + " changed its digest");
  }
  land_.note("commit builder {} {} job {} {}", next.id, to_string(next.state), next.job, next.cause);
  if (is_final(next.state)) gone_at[next.id] = land_.now();
  builders_seen[next.id] = next;
}

void RecordingStore::watch_entry(const LedgerDraft& entry) {
  ++entries;
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
