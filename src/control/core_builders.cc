// The life of a builder.
#include <algorithm>
#include <filesystem>
#include <tuple>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "control/builder_causes.h"
#include "control/core.h"

namespace mayfly {
namespace json = boost::json;
namespace {

constexpr Duration connect_patience = std::chrono::seconds(60);
constexpr Duration stop_retry = std::chrono::seconds(5);
constexpr std::size_t listed_builders = 1000;
constexpr std::size_t remembered_starts = 10;

std::string subject(const BuilderId& id) { return "builder/" + id; }

Duration backoff(int failures) {
  return std::min<Duration>(std::chrono::seconds(60), milliseconds(500) * (1 << std::min(failures, 8)));
}

}  // namespace

void Core::prepare_image(const plan::PrepareImage& action) {
  const auto& view = roster_.look(shutting_down_).pools[action.pool];
  const PoolSpec& pool = *view.spec;
  const std::string version = view.versions[action.version].name;
  std::string reference = pool.image, digest;
  std::optional<ImageSpec> recipe;  // a copy: the configuration may be another by the time it is used
  if (!version.empty()) {
    auto [image, number] = split_image(version);
    const auto& released = versions_.at(std::string(image)).at(SemVer::parse(number).value());
    std::tie(reference, digest) = source_of(pool, released);
  } else if (auto found = parts_.config.images.find(pool.image); found != parts_.config.images.end()) {
    recipe = found->second;
  }
  version_view(pool.name, version)->image.in_progress = true;
  record("image.prepare", "pool/" + pool.name,
         json::serialize(json::object{{"image", version.empty() ? pool.image : version}}));
  int generation = pools_.at(pool.name).generation;
  effect("prepare", [this, name = pool.name, generation, version, platform = pool.platform, reference, digest, recipe] {
    executor_.prepare(platform, reference, recipe ? &*recipe : nullptr,
                      [this, name, generation, version, digest](Result<PlatformImage> result) {
                        // A tag may have been moved since; a version never is.
                        if (result && !digest.empty() && result->digest != digest)
                          result =
                              fail(ErrorCode::invalid, fmt::format("'{}' means {} now, and {} is {}", result->reference,
                                                                   result->digest, version, digest));
                        on_prepared(name, generation, version, std::move(result));
                      });
  });
}

void Core::on_prepared(const PoolName& name, int generation, const std::string& version, Result<PlatformImage> result) {
  auto run = pools_.find(name);
  if (run == pools_.end() || run->second.generation != generation) return;
  auto* view = version_view(name, version);
  if (!view) return;  // the pool has gone on to another version meanwhile
  auto& image = view->image;
  image.in_progress = false;
  if (result) {
    record("image.ready", "pool/" + name,
           json::serialize(json::object{{"image", result->reference}, {"digest", result->digest}}));
    view->digest = result->digest;
    run->second.images[version] = std::move(*result);
    put_trust_on_view();
    image = {};
    image.ready = true;
    return;
  }
  const Error& e = result.error();
  image.problem = e.text();
  ++image.failures;
  image.permanent = e.code == ErrorCode::not_found || e.code == ErrorCode::invalid || e.code == ErrorCode::denied;
  image.retry_at = now() + std::chrono::seconds(10);
  record("image.failed", "pool/" + name,
         json::serialize(json::object{{"problem", image.problem}, {"permanent", image.permanent}}));
  parts_.log.warning("pool {}: {}", name, image.problem);
}

void Core::start_builder(const plan::StartBuilder& action) {
  const PoolSpec& pool = *roster_.look(shutting_down_).pools[action.pool].spec;
  const std::string version = roster_.pool_view(pool.name).versions[action.version].name;
  const PlatformImage& image = pools_.at(pool.name).images.at(version);
  Builder b;
  b.id = fmt::format("{}-{}", pool.name, next_builder_++);
  b.pool = pool.name;
  b.platform = pool.platform;
  b.image = pool.image;
  b.image_digest = image.digest;
  b.image_version = version;
  b.shape = roster_.pool_view(pool.name).shape;
  b.warm = action.warm;
  b.requested_at = now();
  record("builder.requested", subject(b.id),
         json::serialize(json::object{{"pool", b.pool},
                                      {"platform", b.platform},
                                      {"image_version", b.image_version},
                                      {"image_digest", b.image_digest},
                                      {"network", to_string(pool.network)},
                                      {"layers", layers_for(pool.name)},
                                      {"why", action.why}}));
  save(b);
  auto& view = roster_.pool_view(pool.name);
  auto& platform = roster_.platform_view(pool.platform);
  platform.served = std::max(platform.served, view.served);
  view.served = platform.served + 1 / pool.weight;
  if (auto& p = platforms_.at(pool.platform); p.budget) p.budget->take();
  if (auto* tally = tally_of(b.pool, version)) ++tally->launched;
  launching_.insert(b.id);
  BuilderRequest request{b.id, b.pool, image, pool.limits, pool.network, layers_for(pool.name)};
  effect("launch", [this, platform = b.platform, id = b.id, request = std::move(request)]() mutable {
    executor_.launch(platform, std::move(request), [this, id](Result<void> result) { on_launched(id, result); });
  });
  auto id = b.id;
  roster_.add(builders_.emplace(id, std::move(b)).first->second);
}

void Core::on_launched(const BuilderId& id, const Result<void>& result) {
  launching_.erase(id);
  auto found = builders_.find(id);
  if (found == builders_.end()) return;
  Builder& b = found->second;
  if (b.state == BuilderState::stopping) return issue_stop(b);
  if (!result) return start_failed(b, result.error());
  b.state = BuilderState::starting;
  record("builder.started", subject(id), "{}");
  save(b);
  effect("connect", [this, id, address = platforms_.at(b.platform).platform->agent_address(id)] {
    agents_.connect(id, address, connect_patience);
  });
}

void Core::start_failed(Builder& b, const Error& error) {
  if (auto run = pools_.find(b.pool); run != pools_.end()) {
    if (auto* version = version_view(b.pool, b.image_version)) {
      ++version->starts.failed;
      version->starts.problem = error.text();
      version->starts.after = now() + backoff(version->starts.failed);
      if (error.code == ErrorCode::not_found) {  // the image went away: prepare it again
        run->second.images.erase(b.image_version);
        version->image.ready = false;
      }
      wake_by(*version->starts.after);
    }
    if (auto* tally = tally_of(b.pool, b.image_version)) ++tally->failed_starts;
  }
  remember_start(b, error.text());
  on_start_failed(b, error.text(), now());
  record("builder.start-failed", subject(b.id), json::serialize(json::object{{"problem", error.text()}}));
  parts_.log.warning("builder {} could not be started: {}", b.id, error.text());
  stop_builder(b, std::string(causes::not_started) + error.text());
}

void Core::remember_start(const Builder& b, const std::string& problem) {
  auto run = pools_.find(b.pool);
  if (run == pools_.end()) return;
  auto& starts = run->second.starts;
  starts.push_front({b.id, b.requested_at, problem.empty() ? b.ready_at - b.requested_at : Duration(0), problem});
  if (starts.size() > remembered_starts) starts.pop_back();
}

void Core::stop_builder(Builder& b, const std::string& why) {
  if (b.state == BuilderState::stopping) return;
  MAYFLY_CHECK(may_follow(b.state, BuilderState::stopping));
  b.state = BuilderState::stopping;
  b.stopping_at = now();
  b.cause = why.substr(0, 2000);
  record("builder.stopping", subject(b.id), json::serialize(json::object{{"why", b.cause}}));
  save(b);
  if (!launching_.contains(b.id)) issue_stop(b);
}

void Core::issue_stop(const Builder& b) {
  // After a start a builder may be stopped before its platform's list comes, which would stop it once more.
  if (!stops_under_way_.insert(b.id).second) return;
  effect("stop", [this, id = b.id, platform = b.platform] {
    agents_.disconnect(id);
    executor_.stop(platform, id, [this, id](Result<void> result) { on_stopped(id, result); });
  });
}

void Core::on_stopped(const BuilderId& id, const Result<void>& result) {
  stops_under_way_.erase(id);
  auto found = builders_.find(id);
  if (found == builders_.end()) return;
  Builder& b = found->second;
  if (!result) {
    parts_.log.error("builder {} cannot be removed, will try again: {}", id, result.error().text());
    record("builder.stop-failed", subject(id), json::serialize(json::object{{"problem", result.error().text()}}));
    stop_retries_[id] = now() + stop_retry;
    return;
  }
  const bool had_job = b.job != 0;
  const PoolName pool = b.pool;
  b.state = BuilderState::gone;
  b.gone_at = now();
  record("builder.gone", subject(id), "{}");
  save(b);
  handed_over_.erase(id);
  platforms_.at(b.platform).gone_meanwhile.insert(id);
  roster_.remove(b);
  gone_builders_[id] = std::move(builders_.extract(found).mapped());
  if (had_job && (ci_of(pool) || at_ci_.contains(id))) forget_runner_of(id, pool);
}

void Core::retry_stops() {
  for (auto it = stop_retries_.begin(); it != stop_retries_.end();) {
    if (now() < it->second) {
      wake_by(it->second);
      ++it;
      continue;
    }
    if (auto b = builders_.find(it->first); b != builders_.end()) issue_stop(b->second);
    it = stop_retries_.erase(it);
  }
}

void Core::on_agent(const AgentEvent& event) {
  auto found = builders_.find(event.builder);
  if (found == builders_.end() || found->second.state == BuilderState::stopping) return;
  Builder& b = found->second;
  switch (event.kind) {
    case AgentEvent::Kind::hello:
      return on_hello(b, *event.hello);
    case AgentEvent::Kind::finished:
      return on_finished(b, *event.finished);
    case AgentEvent::Kind::unreachable:
      return on_unreachable(b, event.text);
    case AgentEvent::Kind::refused:
      on_builder_died(b, std::string(causes::refused) + event.text, now());
      lose_job_of(b, "its builder refused it: " + event.text);
      return stop_builder(b, std::string(causes::refused) + event.text);
    case AgentEvent::Kind::started: {
      auto j = jobs_.find(b.job);
      if (j == jobs_.end() || event.job != b.job || j->second.state != JobState::assigned) return;
      return mark_running(j->second, event.at);
    }
  }
}

void Core::on_hello(Builder& b, const agent::Hello& hello) {
  if (hello.version != agent::protocol_version || (hello.job != 0 && hello.job != b.job)) {
    lose_job_of(b, "its builder runs something else");
    return stop_builder(b, "its agent runs a job that it was not given, or speaks another protocol");
  }
  if (b.state == BuilderState::busy) {
    auto j = jobs_.find(b.job);
    if (j == jobs_.end()) return stop_builder(b, "its job has ended");
    if (hello.finished) return on_finished(b, *hello.finished);
    if (hello.job != 0) {
      // The daemon died between recording the wish to cancel and telling the agent: tell it now.
      if (j->second.cancel_requested) send_cancel(j->second);
      if (hello.started_at == Time{} || j->second.state != JobState::assigned) return;
      return mark_running(j->second, hello.started_at);
    }
    if (handed_over_.contains(b.id) || minting_.contains(b.id))
      return;  // said before it had the order, and heard late or twice
    // The daemon died between recording the assignment and sending it. The job has certainly not run, so it goes back
    // to the queue; this builder was given away once and is not used again.
    if (j->second.cancel_requested)
      end_job(j->second, JobResult{JobCause::cancelled, 0, 0, "cancelled before it started"});
    else
      put_back(j->second, "job.returned", "the daemon was restarted before its builder had it");
    return stop_builder(b, "its job never reached it");
  }
  if (b.state == BuilderState::requested) b.state = BuilderState::starting;
  if (b.state != BuilderState::starting) return;
  b.state = BuilderState::ready;
  save(b);
  if (b.ready_at != Time{}) return;  // adopted: that it came up once shows nothing new
  b.ready_at = now();
  if (auto* version = version_view(b.pool, b.image_version)) {
    version->starts.failed = 0;
    version->starts.after.reset();
  }
  if (auto* tally = tally_of(b.pool, b.image_version)) {
    ++tally->ready;
    tally->failed_starts = 0;
  }
  remember_start(b, {});
  on_ready(b);
  record("builder.ready", subject(b.id), "{}");
}

void Core::on_finished(Builder& b, const agent::Finished& finished) {
  auto found = jobs_.find(b.job);
  if (found == jobs_.end() || finished.job != b.job) return;
  Job& j = found->second;
  if (j.state == JobState::assigned) j.state = JobState::running;  // its `started` was lost
  if (finished.started_at != Time{}) j.started_at = finished.started_at;
  on_job_done(b);
  j.log_bytes = finished.log_bytes;
  j.log_truncated = finished.log_truncated;
  conclude(j, finished.result);
  stop_builder(b, std::string(causes::job_ended));
  time_for_files_ = true;
}

void Core::on_unreachable(Builder& b, const std::string& why) {
  switch (b.state) {
    case BuilderState::starting:
      return start_failed(b, Error{ErrorCode::unavailable, "its agent did not answer: " + why, {}, {}});
    case BuilderState::ready:
      on_builder_died(b, why, now());
      return stop_builder(b, std::string(causes::went_away) + why);
    case BuilderState::busy:
      // The agent writes the result before it says so: a line that broke in between loses nothing.
      if (ended_unseen(b)) return;
      on_builder_died(b, why, now());
      lose_job_of(b, "its builder went away: " + why);
      return stop_builder(b, std::string(causes::went_away) + why);
    default:
      return;
  }
}

// The builder is lost under its job. Only a job that was declared safe to repeat is repeated, only once, and elsewhere
// (plan/match.cc).
void Core::lose_job_of(Builder& b, const std::string& why) {
  auto found = jobs_.find(b.job);
  if (b.job == 0 || found == jobs_.end()) return;
  Job& j = found->second;
  if (j.cancel_requested) return conclude(j, JobResult{JobCause::cancelled, 0, 0, why});
  if (!j.spec.repeatable || j.attempt > 1) return conclude(j, JobResult{JobCause::builder_lost, 0, 0, why});
  ++j.attempt;
  j.lost_on = b.id;
  put_back(j, "job.repeated", why);
  if (!parts_.paths.root.empty())
    urgent_effect("repeat.files", [path = parts_.paths.job(j.id)] {
      std::error_code ec;
      for (auto name : {"log", "log.index", "result"})
        std::filesystem::rename(path + "/" + name, path + "/first-attempt." + name, ec);
    });
}

void Core::mark_running(Job& j, Time at) {
  MAYFLY_CHECK(may_follow(j.state, JobState::running));
  j.state = JobState::running;
  j.started_at = at;
  roster_.moved(j, now());  // by this clock, which may have been put on since then
  record("job.started", fmt::format("job/{}", j.id), json::serialize(json::object{{"builder", j.builder}}));
  save(j);
}

void Core::put_back(Job& j, const char* kind, const std::string& why) {
  MAYFLY_CHECK(may_follow(j.state, JobState::queued));
  record(kind, fmt::format("job/{}", j.id), json::serialize(json::object{{"why", why}, {"builder", j.builder}}));
  j.state = JobState::queued;
  j.waiting = {ReasonCode::submitted, "it waits for another builder: " + why, now(), {}};
  j.builder.clear();
  j.external.runner.clear();
  j.image_digest.clear();
  j.image_version.clear();
  j.assigned_at = j.started_at = {};
  j.timeout = j.grace = {};
  if (!j.spec.labels.empty()) j.spec.pool.clear();  // any of its pools may take it again
  strays_.insert(j.id);
  roster_.moved(j);
  save(j);
}

Result<std::vector<Builder>> Core::builders(bool gone_too) {
  std::vector<Builder> out;
  if (gone_too) {
    MAYFLY_ASSIGN(out, parts_.store.builders(listed_builders));
    for (auto& b : out)
      if (auto active = builders_.find(b.id); active != builders_.end()) b = active->second;
    return out;
  }
  for (const auto& [id, b] : builders_) out.push_back(b);
  std::sort(out.begin(), out.end(), [](const Builder& a, const Builder& b) { return a.requested_at < b.requested_at; });
  return out;
}

}  // namespace mayfly
