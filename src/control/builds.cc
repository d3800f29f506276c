#include "control/builds.h"

#include <algorithm>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "os/file.h"

namespace mayfly {
namespace json = boost::json;
namespace {

constexpr std::size_t remembered = 500;  // builds of an image that are looked at for the same recipe
constexpr std::size_t max_active = 1000;
constexpr int max_failures = 5;
constexpr Duration swept_anew = std::chrono::hours(24);
constexpr Duration store_retry = std::chrono::seconds(1);

std::string subject(BuildId id) { return fmt::format("build/{}", id); }

// A registry, a network, a full disk: may be better in a while. A wrong recipe stays wrong.
bool may_pass(ErrorCode code) {
  return code == ErrorCode::unavailable || code == ErrorCode::timeout || code == ErrorCode::exhausted;
}

Duration backoff(int failures) { return std::chrono::seconds(5) * (1 << std::min(failures, 6)); }

}  // namespace

Builds::Builds(Parts parts) : parts_(std::move(parts)), reports_(report_parts()), statuses_(status_parts()) {
  reconfigured();
}

const ImageSpec* Builds::spec_of(const ImageBuild& b) const {
  auto found = parts_.config.images.find(b.image);
  return found == parts_.config.images.end() ? nullptr : &found->second;
}

BuildReports::Parts Builds::report_parts() {
  return {parts_.clock,
          parts_.log,
          &ImageBuild::report,
          "build.reported",
          "build.report-failed",
          [this](const ImageBuild&) { return parts_.tell && !parts_.config.report.url.empty(); },
          [this](BuildId id) { return build(id); },
          [this](ImageBuild b, const char* kind, std::string detail) {
            return write(std::move(b), kind, std::move(detail));
          },
          [this](const ImageBuild& b, const std::string& status, std::function<void(Result<void>)> done) {
            parts_.tell(report_of(b, status, spec_of(b), parts_.config.report), std::move(done));
          }};
}

BuildReports::Parts Builds::status_parts() {
  auto parts = report_parts();
  parts.owed = &ImageBuild::commit_status;
  parts.told = "build.status-set";
  parts.failed = "build.status-failed";
  parts.wanted = [this](const ImageBuild& b) {
    auto* image = spec_of(b);
    return parts_.show && image && !image->commit_status.pool.empty() && !b.commit.empty();
  };
  parts.tell = [this](const ImageBuild& b, const std::string& status, std::function<void(Result<void>)> done) {
    auto* image = spec_of(b);
    if (!image || image->commit_status.pool.empty())
      return done(fail(ErrorCode::invalid, "the configuration no longer says where", "commit_status"));
    const auto& to = image->commit_status;
    parts_.show(to.pool, commit_status_of(b, status, to.repository), std::move(done));
  };
  return parts;
}

void Builds::reconfigured() {
  followed_.reset();
  for (auto& [name, w] : watches_) w.rebuild.reset(), w.rebuild_at.reset(), w.look_at.reset(), w.bases_at.reset();
  for (const auto& [name, image] : parts_.config.images) {
    auto& w = watches_[name];
    if (!image.rebuild.empty())
      if (auto cron = plan::Cron::parse(image.rebuild, "UTC")) {
        w.rebuild = std::move(*cron);
        w.rebuild_at = w.rebuild->next(now());
      }
    if (image.watch > Duration(0)) w.look_at = now();
    if (base_interval(image) > Duration(0)) w.bases_at = now();
  }
  raise_approvals();
}

// A stricter rule holds for what is under way already; a laxer one only for what comes.
void Builds::raise_approvals() {
  std::vector<ImageBuild> raised;
  for (const auto& [id, b] : active_)
    if (auto* image = spec_of(b); image && image->approvals > b.approvals_needed && b.state != BuildState::releasing)
      raised.push_back(b), raised.back().approvals_needed = image->approvals;
  for (auto& b : raised) {
    json::object detail{{"needed", b.approvals_needed}};
    change(std::move(b), "build.approvals-raised", std::move(detail));
  }
}

// What a daemon of before was building on this host ended with it; its place is cleared before it is begun again.
void Builds::begun_again(BuildId id) {
  auto b = active_.at(id);
  auto* image = spec_of(b);
  if (b.state != BuildState::building || !image || !image->builder.empty()) return;
  b.problem = "begun again: the daemon that was building it ended";
  change(std::move(b), "build.begun-again", {});
}

Result<void> Builds::recover() {
  MAYFLY_ASSIGN(auto newest, parts_.store.image_builds("", 1));
  if (!newest.empty()) next_ = newest.front().id + 1;
  MAYFLY_ASSIGN(auto all, parts_.store.active_image_builds());
  for (auto& b : all) {
    running_[b.id];
    // Its jobs wait for a pool that only this knows of.
    if (b.state == BuildState::trying && parts_.config.images.contains(b.image)) parts_.core.add_pool(trial_pool(b));
    active_.emplace(b.id, std::move(b));
  }
  raise_approvals();
  for (const auto& b : all) {
    begun_again(b.id);
    advance(b.id);
  }
  MAYFLY_ASSIGN(auto latest, parts_.store.image_builds("", remembered));
  for (const auto& [name, image] : parts_.config.images)
    for (const auto& b : recent(name)) {
      if (b.swept_at == Time{}) continue;
      parts_.core.reference_gone(b.reference);
      if (now() - b.swept_at < swept_anew) discard(b);  // a daemon may have been killed before it
    }
  for (const auto& b : latest) {
    if (parts_.tell) reports_.owe(b.id, b.report);
    if (parts_.show) statuses_.owe(b.id, b.commit_status);
  }
  return {};
}

void Builds::wake_by(Time t) {
  if (!wake_ || t < *wake_) wake_ = t;
}

void Builds::tick() {
  wake_.reset();
  std::vector<BuildId> due;
  for (auto& [id, run] : running_) {
    if (!run.retry_at) continue;
    if (now() >= *run.retry_at)
      run.retry_at.reset(), due.push_back(id);
    else
      wake_by(*run.retry_at);
  }
  for (BuildId id : due) advance(id);
  if (followed_ != parts_.core.releases_made()) follow_bases();
  for (auto& [name, w] : watches_) {
    if (w.rebuild_at && now() >= *w.rebuild_at) {
      w.rebuild_at = w.rebuild->next(now());
      if (auto made = create({name, "", BuildTrigger::schedule, "", true}); made) advance(made->id);
    }
    if (w.look_at && !w.looking && now() >= *w.look_at) look(name);
    if (w.rebuild_at) wake_by(*w.rebuild_at);
    if (w.look_at && !w.looking) wake_by(*w.look_at);
  }
  look_at_bases();
  if (now() >= next_sweep_) sweep();
  wake_by(next_sweep_);
  reports_.tick();
  statuses_.tick();
  for (auto* told : {&reports_, &statuses_})
    if (told->wake()) wake_by(*told->wake());
}

ImageBuild* Builds::active(BuildId id) {
  auto found = active_.find(id);
  return found == active_.end() ? nullptr : &found->second;
}

// Written down, and only then so. A store that cannot be written to: the build stays where it is and tries again.
bool Builds::change(ImageBuild next, const char* kind, json::object detail) {
  auto* old = active(next.id);
  if (old && old->state != next.state) {
    MAYFLY_CHECK(may_follow(old->state, next.state));
    if (!is_final(next.state)) next.problem.clear();  // it was of the step before
  }
  detail["state"] = to_string(next.state);
  next.report = reports_.owed(old, next);
  next.commit_status = statuses_.owed(old, next);
  return write(std::move(next), kind, json::serialize(detail));
}

bool Builds::write(ImageBuild next, const char* kind, std::string detail) {
  Batch batch;
  batch.image_builds.push_back(next);
  batch.ledger.push_back({now(), kind, subject(next.id), std::move(detail)});
  if (auto written = parts_.store.commit(batch); !written) {
    parts_.log.error("build {} cannot be written down: {}", next.id, written.error().text());
    if (auto run = running_.find(next.id); run != running_.end()) run->second.retry_at = now() + store_retry;
    wake_by(now() + store_retry);
    return false;
  }
  reports_.owe(next.id, next.report);
  statuses_.owe(next.id, next.commit_status);
  wake_by(now());
  if (is_final(next.state)) {
    running_.erase(next.id);
    active_.erase(next.id);
  } else {
    active_[next.id] = std::move(next);
  }
  return true;
}

void Builds::end(ImageBuild b, BuildState state, const std::string& why) {
  BuildId id = b.id;
  bool was_trying = b.state == BuildState::trying;
  if (b.state == BuildState::building && b.build_job == 0 && state != BuildState::unchanged) parts_.works.stop(id);
  b.state = state;
  b.problem = why.substr(0, 4000);
  b.ended_at = now();
  if (!change(b, "build.ended", {{"why", b.problem}})) return;
  parts_.log.info("build {} of image {} is {}{}{}", id, b.image, to_string(state), why.empty() ? "" : ": ", why);
  if (was_trying) parts_.core.drop_pool(fmt::format("try-{}", id));
  bool useless = state == BuildState::failed || state == BuildState::cancelled || state == BuildState::superseded;
  if (useless && !parts_.paths.root.empty())
    parts_.apart([directory = parts_.paths.build(id)] {
      for (const char* name : {"/out", "/context", "/storage", "/context.tar"}) (void)os::remove_tree(directory + name);
    });
  advance_waiting();
}

// Others may have waited for this one.
void Builds::advance_waiting() {
  std::vector<BuildId> ids;
  for (const auto& [id, b] : active_)
    if (b.state == BuildState::queued || b.state == BuildState::waiting) ids.push_back(id);
  for (BuildId id : ids) advance(id);
}

void Builds::step_failed(BuildId id, const Error& error) {
  auto* b = active(id);
  if (!b) return;
  auto& run = running_[id];
  if (!may_pass(error.code) || ++run.failures >= max_failures) return end(*b, BuildState::failed, error.text());
  run.retry_at = now() + backoff(run.failures);
  wake_by(*run.retry_at);
  auto next = *b;
  next.problem = error.text() + " It is tried again.";
  change(next, "build.delayed", {{"problem", error.text()}});
}

std::vector<ImageBuild> Builds::recent(const std::string& image) const {
  return parts_.store.image_builds(image, remembered).value_or(std::vector<ImageBuild>());
}

std::optional<ImageBuild> Builds::last_released(const std::string& image) const {
  for (auto& b : recent(image))
    if (b.state == BuildState::released) return b;
  return std::nullopt;
}

Result<ImageBuild> Builds::create(const BuildRequest& request) {
  auto found = parts_.config.images.find(request.image);
  if (found == parts_.config.images.end())
    return fail(ErrorCode::not_found, fmt::format("there is no image '{}' in the configuration", request.image),
                "image", "`mayfly image list` shows them.");
  if (found->second.recipe.empty())
    return fail(ErrorCode::invalid, fmt::format("image '{}' has no recipe to build", request.image), "image",
                "Give it one under `recipe:`.");
  if (active_.size() >= max_active)
    return fail(ErrorCode::exhausted, fmt::format("{} builds are under way already", active_.size()), "image",
                "Try again when some are done.");
  ImageBuild b;
  b.id = next_;
  b.image = request.image;
  b.ref = request.ref.empty() ? found->second.branch : request.ref;
  b.release = b.ref == found->second.branch;
  b.trigger = request.trigger;
  b.by = request.by;
  b.registry_bases = request.registry_bases;
  b.reason = request.reason;
  b.approvals_needed = found->second.approvals;
  b.queued_at = now();
  running_[b.id].again = request.again;
  bool written =
      change(b, "build.requested",
             {{"image", b.image}, {"ref", b.ref}, {"trigger", to_string(b.trigger)}, {"by", b.by}, {"why", b.reason}});
  if (!written) {
    running_.erase(b.id);
    return fail(ErrorCode::exhausted, "the daemon cannot record builds for now", "image", "Free some disk space.");
  }
  ++next_;
  return b;
}

void Builds::request(BuildRequest request, Done<ImageBuild> done) {
  auto made = create(request);
  if (!made) return done(made);
  advance(made->id);
  done(build(made->id));
}

void Builds::approve(BuildId id, const std::string& who, Done<ImageBuild> done) {
  auto known = build(id);
  if (!known) return done(known);
  auto refuse = [id](std::string why) {
    return fail(ErrorCode::conflict, std::move(why), fmt::format("build {}", id));
  };
  if (auto why = approval_refusal(*known, who); !why.empty()) return done(refuse(why));
  auto spec = parts_.config.images.find(known->image);
  if (spec == parts_.config.images.end()) return done(refuse("its image is no longer in the configuration"));
  // Somebody may have pushed since this person looked.
  parts_.apart([this, id, who, done, refuse, image = spec->second, ref = known->ref, content = known->content] {
    auto at = parts_.works.resolve(image, ref, after(std::chrono::minutes(2)));
    parts_.post([this, id, who, done, refuse, at = std::move(at), content] {
      if (!at) return done(Unexpected(at.error()));
      auto b = build(id);
      if (!b) return done(b);
      if (at->content != content) {
        if (!is_final(b->state)) end(*b, BuildState::superseded, "its recipe changed: approvals given to it are void");
        return done(refuse("the recipe has changed since it was built: look at the new build"));
      }
      if (auto why = approval_refusal(*b, who); !why.empty()) return done(refuse(why));
      b->approvals.push_back({who, b->digest, now()});
      if (!change(*b, "build.approved", {{"by", who}, {"digest", b->digest}}))
        return done(fail(ErrorCode::exhausted, "the approval cannot be written down for now", "build"));
      advance(id);
      done(build(id));
    });
  });
}

void Builds::cancel(BuildId id, const std::string& who, Done<ImageBuild> done) {
  auto known = build(id);
  if (!known) return done(known);
  if (is_final(known->state))
    return done(fail(ErrorCode::conflict, fmt::format("build {} is over: {}", id, to_string(known->state)), "build"));
  for (JobId job : {known->build_job, known->try_job})
    if (job != 0) parts_.core.cancel(job, who, [](Result<Job>) {});
  end(*known, BuildState::cancelled, "cancelled by " + who);
  done(build(id));
}

Result<ImageBuild> Builds::build(BuildId id) const {
  if (auto found = active_.find(id); found != active_.end()) return found->second;
  MAYFLY_ASSIGN(auto stored, parts_.store.image_build(id));
  if (!stored)
    return fail(ErrorCode::not_found, fmt::format("there is no build {}", id), "build",
                "`mayfly image builds` lists them.");
  return *stored;
}

Result<std::vector<ImageBuild>> Builds::builds(const std::string& image, std::size_t limit) const {
  return parts_.store.image_builds(image, limit);
}

}  // namespace mayfly
