// What each state of a build has to do. Every step may have been begun before, by a daemon that was killed.
#include <algorithm>

#include <sys/random.h>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "base/text.h"
#include "control/builds.h"
#include "os/file.h"
#include "plan/base_watch.h"

namespace mayfly {
namespace json = boost::json;
namespace {

constexpr int max_building = 4;
constexpr Duration step_limit = std::chrono::minutes(60);

std::string new_upload() {
  char bytes[16];
  MAYFLY_CHECK(::getrandom(bytes, sizeof bytes, 0) == sizeof bytes);
  return to_hex({bytes, sizeof bytes});
}

// The highest that a line "Release: minor" of the message declares.
VersionLevel level_of(const std::string& message) {
  auto level = VersionLevel::patch;
  for (const auto& line : split(message, '\n')) {
    auto colon = line.find(':');
    if (colon == std::string::npos || line.substr(0, colon) != "Release") continue;
    auto said = version_level_from(trim(std::string_view(line).substr(colon + 1)));
    level = std::max(level, said.value_or(VersionLevel::patch));
  }
  return level;
}

std::string describe(const Job& job) {
  if (!job.result.message.empty()) return job.result.message;
  if (job.result.cause == JobCause::exited) return fmt::format("it ended with exit code {}", job.result.exit_code);
  return std::string(to_string(job.result.cause));
}

std::string errors_in(const std::vector<BuildFinding>& findings) {
  std::string out;
  int errors = 0;
  for (const auto& f : findings)
    if (f.error && ++errors <= 5) out += (out.empty() ? "" : "; ") + f.what;
  if (errors > 5) out += fmt::format("; and {} more", errors - 5);
  return out;
}

}  // namespace

void Builds::advance(BuildId id) {
  auto* b = active(id);
  if (!b || running_[id].busy || running_[id].retry_at) return;
  if (!parts_.config.images.contains(b->image))
    return end(*b, BuildState::failed, "its image is no longer in the configuration");
  switch (b->state) {
    case BuildState::queued:
      return resolve(id);
    case BuildState::building:
      return with_recipe(id, [this, id] {
        auto* now_at = active(id);
        if (!now_at) return;
        parts_.config.images.at(now_at->image).builder.empty() ? build_here(id) : build_by_job(id);
      });
    case BuildState::examining:
      return with_recipe(id, [this, id] { examine(id); });
    case BuildState::trying:
      return try_out(id);
    case BuildState::waiting:
    case BuildState::releasing:
      return release(id);
    default:
      return;
  }
}

// A call that blocks; its error is the step's.
template <class T>
void Builds::work(BuildId id, std::function<Result<T>()> call, std::function<void(T)> then) {
  running_[id].busy = true;
  parts_.apart([this, id, call = std::move(call), then = std::move(then)] {
    auto result = std::make_shared<Result<T>>(call());
    parts_.post([this, id, result, then] {
      auto run = running_.find(id);
      if (run == running_.end()) return;  // cancelled meanwhile
      run->second.busy = false;
      if (!*result) return step_failed(id, result->error());
      run->second.failures = 0;
      then(std::move(**result));
    });
  });
}

void Builds::with_recipe(BuildId id, std::function<void()> then) {
  if (running_[id].recipe) return then();
  const auto& b = active_.at(id);
  work<RecipeAt>(
      id,
      [this, image = parts_.config.images.at(b.image), commit = b.commit] {
        return parts_.works.resolve(image, commit, after(step_limit));
      },
      [this, id, then](RecipeAt recipe) {
        running_[id].recipe = std::move(recipe);
        then();
      });
}

void Builds::resolve(BuildId id) {
  int building = 0;
  for (const auto& [other, b] : active_) building += b.state == BuildState::building;
  if (building >= max_building) return;  // advance_waiting() comes back
  const auto& b = active_.at(id);
  work<RecipeAt>(
      id,
      [this, image = parts_.config.images.at(b.image), ref = b.commit.empty() ? b.ref : b.commit] {
        return parts_.works.resolve(image, ref, after(step_limit));
      },
      [this, id](RecipeAt recipe) { resolved(id, std::move(recipe)); });
}

void Builds::resolved(BuildId id, RecipeAt recipe) {
  auto b = active_.at(id);
  b.commit = recipe.commit;
  b.authors = recipe.authors;
  b.message = recipe.message;
  b.content = recipe.content;
  running_[id].recipe = recipe;
  // What waits from the same ref with another recipe was overtaken by this one.
  std::vector<ImageBuild> overtaken;
  for (const auto& [other, o] : active_)
    if (other < id && o.image == b.image && o.ref == b.ref && !o.content.empty() && o.content != b.content &&
        o.state != BuildState::releasing)
      overtaken.push_back(o);
  for (const auto& o : overtaken) {
    for (JobId job : {o.build_job, o.try_job})
      if (job != 0) parts_.core.cancel(job, "mayfly", [](Result<Job>) {});
    end(o, BuildState::superseded, fmt::format("its recipe changed: build {} has the new one", id));
  }
  std::string problem;
  if (auto wait = wait_for_bases(b, recipe, problem)) {
    b.problem = *wait;
    if (b != active_.at(id)) change(b, "build.waits", {{"why", *wait}});
    return;
  }
  if (!problem.empty()) return end(b, BuildState::failed, problem);
  b.problem.clear();
  if (!running_[id].again && take_over(b)) return;
  std::set<std::string> asked;
  for (auto& base : plan::registry_bases(recipe.bases)) asked.insert(std::move(base));
  std::erase_if(b.registry_bases, [&](const auto& known) { return !asked.contains(known.first); });
  if (asked.empty()) return begin(std::move(b));
  work<Digests>(
      id, [this, asked] { return Result<Digests>(ask_registries(asked)); },
      [this, b](const Digests& seen) {
        auto next = b;
        next.approvals_needed = active_.at(b.id).approvals_needed;  // the configuration may have changed meanwhile
        // What a registry does not say now may be what it said when the build was asked for, or is not known.
        for (const auto& [base, digest] : seen)
          if (digest) next.registry_bases[base] = *digest;
        begin(std::move(next));
      });
}

void Builds::begin(ImageBuild b) {
  b.state = BuildState::building;
  b.started_at = now();
  json::object bases;
  for (const auto& [name, digest] : b.registry_bases) bases[name] = digest;
  if (change(b, "build.started", {{"commit", b.commit}, {"content", b.content}, {"registry_bases", std::move(bases)}}))
    advance(b.id);
}

// The same recipe on the same bases was built and tried before, for a proposed change perhaps: its image is taken, and
// the approvals given to it count. True: taken over, or that build is waited for.
bool Builds::take_over(ImageBuild& b) {
  for (const auto& o : recent(b.image)) {
    if (o.id == b.id || o.content != b.content || o.bases != b.bases || o.swept_at != Time{}) continue;
    if (!b.registry_bases.empty() && o.registry_bases != b.registry_bases) continue;  // it is for the sake of these
    bool under_way =
        o.state == BuildState::building || o.state == BuildState::examining || o.state == BuildState::trying;
    if (under_way && o.id < b.id) {
      b.problem = fmt::format("build {} builds the same recipe", o.id);
      if (b != active_.at(b.id)) change(b, "build.waits", {{"why", b.problem}});
      return true;
    }
    bool good = o.state == BuildState::passed || o.state == BuildState::waiting || o.state == BuildState::releasing ||
                o.state == BuildState::released;
    if (!good || o.digest.empty()) continue;
    b.same_as = o.same_as != 0 ? o.same_as : o.id;
    b.digest = o.digest, b.reference = o.reference, b.fingerprint = o.fingerprint, b.bytes = o.bytes;
    b.registry_bases = o.registry_bases;
    b.findings = o.findings, b.build_job = o.build_job, b.try_job = o.try_job, b.builder_digest = o.builder_digest;
    for (const auto& a : o.approvals) {
      auto asked = b;
      asked.state = BuildState::waiting;
      if (approval_refusal(asked, a.who).empty()) b.approvals.push_back(a);
    }
    b.started_at = now();
    b.state = b.release ? BuildState::waiting : BuildState::passed;
    if (b.state == BuildState::passed) return end(b, BuildState::passed, ""), true;
    if (change(b, "build.taken-over", {{"from", b.same_as}, {"digest", b.digest}})) advance(b.id);
    return true;
  }
  return false;
}

std::optional<BuildOrder> Builds::order_of(BuildId id) {
  const auto& b = active_.at(id);
  BuildOrder order;
  order.id = id;
  order.image = parts_.config.images.at(b.image);
  order.recipe = *running_[id].recipe;
  order.directory = parts_.paths.build(id);
  // A Docker Engine has bases of its own, and cannot be told a digest for them.
  order.fresh = b.trigger == BuildTrigger::schedule || (!b.reason.empty() && !order.image.docker.url.empty());
  for (const auto& [base, digest] : b.registry_bases)
    if (plan::names_registry(base)) order.pinned[base] = digest;
  for (const auto& name : order.image.secrets) {
    auto value = parts_.secrets.get(name);
    if (!value) {
      step_failed(id, value.error());
      return std::nullopt;
    }
    order.secrets[name] = *value;
  }
  return order;
}

void Builds::build_here(BuildId id) {
  auto order = order_of(id);
  if (!order) return;
  work<BuiltImage>(
      id,
      [this, order = *order]() -> Result<BuiltImage> {
        MAYFLY_TRY(os::make_directories(order.directory));
        return parts_.works.build(order, after(step_limit));
      },
      [this, id](BuiltImage image) { built(id, image); });
}

void Builds::build_by_job(BuildId id) {
  auto order = order_of(id);
  if (!order) return;
  auto upload = new_upload();
  work<BuildJob>(
      id,
      [this, order = *order, tar = parts_.paths.upload(upload)]() -> Result<BuildJob> {
        MAYFLY_TRY(os::make_directories(order.directory));
        MAYFLY_ASSIGN(auto job, parts_.works.prepare_job(order, after(step_limit)));
        MAYFLY_TRY(parts_.works.pack(order.image, order.recipe.commit, tar, after(step_limit)));
        return job;
      },
      [this, id, order = *order, upload](BuildJob job) {
        JobSpec spec;
        spec.pool = order.image.builder;
        spec.name = fmt::format("build {} of {}", id, order.image.name);
        spec.script = job.script;
        spec.input = upload;
        spec.output = job.output;
        spec.secrets = order.image.secrets;
        spec.repeatable = true;
        submit(id, std::move(spec), "build", &ImageBuild::build_job, [this, id, order](const Job& ended) {
          work<BuiltImage>(
              id,
              [this, order, ended]() -> Result<BuiltImage> {
                if (ended.state != JobState::succeeded) {
                  Error e = parts_.works.failure(order, parts_.paths.log(ended.id));
                  if (ended.result.cause != JobCause::exited)
                    e.what += fmt::format(" (job {}: {})", ended.id, describe(ended));
                  return Unexpected(std::move(e));
                }
                return parts_.works.take_in(order, parts_.paths.output(ended.id), after(step_limit));
              },
              [this, id](BuiltImage image) { built(id, image); });
        });
      });
}

// The same key gives the same job, whoever asks again: a build has one job of a kind, however often the daemon died.
void Builds::submit(BuildId id, JobSpec spec, const std::string& key, JobId ImageBuild::* member,
                    std::function<void(const Job&)> then) {
  running_[id].busy = true;
  spec.submitter = "mayfly";
  parts_.core.submit(std::move(spec), fmt::format("mayfly/build/{}/{}", id, key),
                     [this, id, member, then = std::move(then)](Result<Job> job) {
                       if (!active(id)) return;
                       running_[id].busy = false;
                       if (!job) return step_failed(id, job.error());
                       watch_job(id, job->id, member, then);
                     });
}

void Builds::watch_job(BuildId id, JobId job, JobId ImageBuild::* member, std::function<void(const Job&)> then) {
  auto b = active_.at(id);
  if (b.*member != job) {
    b.*member = job;
    if (!change(b, "build.job", {{"job", job}})) return;
  }
  running_[id].busy = true;
  parts_.core.when_ended(job, [this, id, then = std::move(then)](Result<Job> ended) {
    // Not from within the core's own step: what follows talks to it again.
    parts_.post([this, id, then, ended = std::move(ended)] {
      if (!active(id)) return;
      running_[id].busy = false;
      if (!ended) return step_failed(id, ended.error());
      then(*ended);
    });
  });
}

void Builds::built(BuildId id, const BuiltImage& image) {
  auto b = active_.at(id);
  b.digest = image.digest;
  b.reference = image.reference;
  if (b.build_job != 0)
    if (auto job = parts_.core.job(b.build_job)) b.builder_digest = job->image_digest;
  auto last = last_released(b.image);
  if (last && last->digest == b.digest)
    return end(b, BuildState::unchanged, fmt::format("it is what version {} is already", last->version));
  b.state = BuildState::examining;
  if (change(b, "build.built", {{"digest", b.digest}})) advance(id);
}

void Builds::examine(BuildId id) {
  auto order = order_of(id);
  if (!order) return;
  auto last = last_released(order->image.name);
  work<Examination>(
      id,
      [this, order = *order, before = last ? last->bytes : 0] {
        return parts_.works.examine(order, before, after(step_limit));
      },
      [this, id](Examination seen) { examined(id, seen); });
}

void Builds::examined(BuildId id, const Examination& seen) {
  auto b = active_.at(id);
  b.findings = seen.findings;
  b.fingerprint = seen.fingerprint;
  b.bytes = seen.bytes;
  if (auto errors = errors_in(b.findings); !errors.empty()) return end(b, BuildState::failed, errors);
  auto last = last_released(b.image);
  bool rebuilt = b.trigger == BuildTrigger::schedule || b.trigger == BuildTrigger::base;
  if (rebuilt && last && last->fingerprint == b.fingerprint)
    return end(b, BuildState::unchanged,
               fmt::format("its files are those of version {}, but for logs and caches", last->version));
  if (parts_.config.images.at(b.image).attempts.empty()) {
    if (!b.release) return end(b, BuildState::passed, "");
    b.state = BuildState::waiting;
  } else {
    b.state = BuildState::trying;
  }
  if (change(b, "build.examined", {{"findings", b.findings.size()}, {"fingerprint", b.fingerprint}})) advance(id);
}

// What a pool that uses the image gives its builders; what the configuration's defaults give, where none does.
PoolSpec Builds::trial_pool(const ImageBuild& b) const {
  PoolSpec pool;
  for (const auto& [name, p] : parts_.config.pools)
    if (split_image(p.image).first == b.image) {
      pool.platform = p.platform;
      pool.limits = p.limits;
      pool.network = p.network;
      break;
    }
  pool.name = fmt::format("try-{}", b.id);
  pool.image = b.reference;
  pool.max = 1;
  return pool;
}

void Builds::try_out(BuildId id) {
  const auto& b = active_.at(id);
  parts_.core.add_pool(trial_pool(b));
  auto upload = new_upload();
  auto image = parts_.config.images.at(b.image);
  work<bool>(
      id,
      [this, image, commit = b.commit, tar = parts_.paths.upload(upload)]() -> Result<bool> {
        MAYFLY_TRY(parts_.works.pack(image, commit, tar, after(step_limit)));
        return true;
      },
      [this, id, image, upload](bool) {
        JobSpec spec;
        spec.pool = fmt::format("try-{}", id);
        spec.name = fmt::format("try build {} of {}", id, image.name);
        spec.script = "set -ex\n" + join(image.attempts, "\n") + "\n";
        spec.input = upload;
        spec.repeatable = true;
        submit(id, std::move(spec), "try", &ImageBuild::try_job, [this, id](const Job& job) {
          if (job.state == JobState::succeeded) return tried(id);
          end(active_.at(id), BuildState::failed,
              fmt::format("its trial failed (job {}): {}. `mayfly logs {}` shows it.", job.id, describe(job), job.id));
        });
      });
}

void Builds::tried(BuildId id) {
  auto b = active_.at(id);
  if (!b.release) return end(b, BuildState::passed, "");
  b.state = BuildState::waiting;
  if (!change(b, "build.tried", {{"job", b.try_job}})) return;
  parts_.core.drop_pool(fmt::format("try-{}", id));
  advance(id);
}

void Builds::release(BuildId id) {
  auto b = active_.at(id);
  if (b.state == BuildState::waiting) {
    if (!is_approved(b)) return;
    for (const auto& [other, o] : active_)
      if (o.image == b.image && o.state == BuildState::releasing) return;  // one at a time, in their order
    b.state = BuildState::releasing;
    if (!change(b, "build.releasing", {{"approvals", b.approvals.size()}})) return;
  }
  // What was declared since the last release counts, in whichever of the commits.
  auto last = last_released(b.image);
  if (!last || last->commit.empty()) return hand_on(id, level_of(b.message));
  work<std::string>(
      id,
      [this, image = parts_.config.images.at(b.image), since = last->commit, until = b.commit, own = b.message] {
        // Where the history was written anew, there is nothing between the two.
        return Result<std::string>(parts_.works.messages(image, since, until, after(step_limit)).value_or(own));
      },
      [this, id](std::string messages) { hand_on(id, level_of(messages)); });
}

void Builds::hand_on(BuildId id, VersionLevel level) {
  const auto& b = active_.at(id);
  ReleaseRequest request;
  request.image = b.image;
  request.reference = b.reference;
  request.level = level;
  request.commit = b.commit;
  request.builder_digest = b.builder_digest;
  request.bases = b.registry_bases;
  for (const auto& [name, digest] : b.bases) request.bases["localhost/mayfly/" + name] = digest;
  for (const auto& a : b.approvals) request.approved_by.push_back(a.who);
  running_[id].busy = true;
  parts_.core.release(std::move(request), b.by.empty() ? fmt::format("build {}", id) : b.by,
                      [this, id](Result<ImageVersion> version) {
                        parts_.post([this, id, version = std::move(version)] {
                          if (!active(id)) return;
                          running_[id].busy = false;
                          if (!version) return step_failed(id, version.error());
                          offered(id, *version);
                        });
                      });
}

void Builds::offered(BuildId id, const ImageVersion& version) {
  with_recipe(id, [this, id, version] {
    auto order = order_of(id);
    if (!order) return;
    const auto& b = active_.at(id);
    if (b.same_as != 0) order->directory = parts_.paths.build(b.same_as);
    work<bool>(
        id,
        [this, order = *order, image = BuiltImage{b.digest, b.reference}]() -> Result<bool> {
          MAYFLY_TRY(parts_.works.offer(order, image, after(step_limit)));
          return true;
        },
        [this, id, version](bool) {
          auto done = active_.at(id);
          done.version = version.number.text();
          end(done, BuildState::released, "");
        });
  });
}

}  // namespace mayfly
