#include "ci/github/connector.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/text.h"
#include "ci/github/labels.h"

namespace mayfly::github {
namespace {

constexpr Duration look_every = seconds(5);           // where looking is all there is
constexpr Duration look_with_webhooks = seconds(30);  // a lost webhook costs this long
constexpr Duration most_patience = std::chrono::minutes(2);
constexpr std::size_t max_delivery_id = 100;

std::string header(const std::vector<std::pair<std::string, std::string>>& headers, std::string_view name) {
  for (const auto& [k, v] : headers)
    if (k == name) return v;
  return {};
}

CiOutcome outcome_of(const std::string& conclusion) {
  if (conclusion == "success" || conclusion == "neutral") return CiOutcome::succeeded;
  if (conclusion == "failure" || conclusion == "startup_failure" || conclusion == "action_required")
    return CiOutcome::failed;
  if (conclusion == "cancelled") return CiOutcome::cancelled;
  if (conclusion == "skipped") return CiOutcome::skipped;
  if (conclusion == "timed_out") return CiOutcome::timed_out;
  if (conclusion == "stale") return CiOutcome::abandoned;
  return CiOutcome::unknown;
}

// Not while it waits for an approval ("waiting") or its concurrency group ("pending"): no runner may take it yet.
bool takeable(const WorkflowJob& j) {
  return j.status == "queued" || j.status == "in_progress" || j.status == "completed";
}

}  // namespace

CiJob to_ci_job(const WorkflowJob& j) {
  CiJob out{.id = std::to_string(j.id), .url = j.url, .name = j.name, .labels = j.labels};
  if (!j.workflow.empty()) out.name = j.workflow + " / " + j.name;
  out.phase = j.status == "completed"     ? CiPhase::ended
              : j.status == "in_progress" ? CiPhase::running
                                          : CiPhase::pending;
  out.runner = j.runner_name;
  if (out.phase == CiPhase::ended) {
    out.outcome = outcome_of(j.conclusion);
    out.result = j.conclusion;
    out.ended_at = j.completed_at;
  }
  // Before a runner has it, started_at is when it was queued.
  out.queued_at = j.created_at != Time{} ? j.created_at : j.started_at;
  if (out.phase != CiPhase::pending) out.started_at = j.started_at;
  return out;
}

Connector::Connector(Settings settings, std::shared_ptr<Api> api, std::shared_ptr<Queue> queue, SecretStore& secrets,
                     const Clock& clock)
    : settings_(std::move(settings)),
      labels_(runner_labels(settings_.labels)),
      api_(std::move(api)),
      queue_(std::move(queue)),
      secrets_(secrets),
      runners_(api_, settings_.address, settings_.runner_group),
      redelivery_(api_, clock) {
  queue_->serve(labels_);
}

// images/github has this program; it takes MAYFLY_GITHUB_JITCONFIG out of the environment.
CiRunner Connector::runner() const { return {.script = "#!/bin/sh\nexec /usr/local/bin/mayfly-github-runner\n"}; }

CiSight Connector::throttled(CiSight sight) {
  sight.whole = false;
  sight.throttled = true;
  sight.again = std::clamp<Duration>(api_->wait(), seconds(1), most_patience);
  sight.notice = fmt::format("GitHub's rate limit: the next look is in {}", format_duration(sight.again));
  return sight;
}

Result<CiSight> Connector::observe(Deadline deadline) {
  auto look = queue_->look(seen_, deadline);
  CiSight sight;
  sight.again = webhooks() ? look_with_webhooks : look_every;
  bool slow_down = !look && look.error().code == ErrorCode::exhausted;
  if (!look && !slow_down) return Unexpected(look.error());
  if (look) seen_ = look->number;
  for (const auto& job : queue_->jobs(labels_))
    if (takeable(job)) sight.jobs.push_back(to_ci_job(job));
  if (slow_down) return throttled(std::move(sight));
  sight.whole = look->whole;
  if (!look->whole) {
    sight.again = std::max<Duration>(api_->wait(), seconds(1));
    sight.throttled = sight.again > seconds(1);
  }
  if (webhooks())
    if (auto asked = redelivery_.sweep(deadline); !asked)
      sight.notice = "failed webhooks could not be asked for again: " + asked.error().text();
  return sight;
}

Result<CiCredential> Connector::mint(const std::string& name, const CiJob&, Deadline deadline) {
  MAYFLY_ASSIGN(auto made, runners_.make(name, labels_, deadline));
  CiCredential out{.registration = {name, std::to_string(made.runner.id), false}};
  out.secrets["MAYFLY_GITHUB_JITCONFIG"] = std::move(made.config);
  return out;
}

Result<std::optional<CiJob>> Connector::taken(const CiRegistration& registration, Deadline deadline) {
  auto job = queue_->taken_by(registration.name, false, deadline);
  if (!job) return Unexpected(job.error());
  if (!*job) {
    // Idle runners took nothing; one that has a job or is gone may have taken what no look has shown.
    auto runner = runners_.by_name(registration.name, deadline);
    if (!runner && runner.error().code != ErrorCode::not_found) return Unexpected(runner.error());
    if (runner && !runner->busy) return std::nullopt;
    job = queue_->taken_by(registration.name, true, deadline);
    if (!job) return Unexpected(job.error());
  }
  if (!*job) return std::nullopt;
  return to_ci_job(**job);
}

Result<void> Connector::forget(const CiRegistration& registration, Deadline deadline) {
  std::int64_t id = 0;
  const char* end = registration.id.data() + registration.id.size();
  auto read = std::from_chars(registration.id.data(), end, id);
  if (read.ec != std::errc() || read.ptr != end || id <= 0) {
    auto runner = runners_.by_name(registration.name, deadline);
    if (!runner && runner.error().code == ErrorCode::not_found) return {};
    if (!runner) return Unexpected(runner.error());
    id = runner->id;
  }
  return runners_.remove(id, deadline);
}

Result<std::vector<CiRegistration>> Connector::registrations(const std::string& prefix, Deadline deadline) {
  MAYFLY_ASSIGN(auto all, runners_.with_prefix(prefix, deadline));
  std::vector<CiRegistration> out;
  for (const auto& r : all) out.push_back({r.name, std::to_string(r.id), r.busy, r.online});
  return out;
}

std::string Connector::place() const {
  return to_lower(settings_.address.server + settings_.address.prefix + settings_.address.runners());
}

std::string Connector::hook() const {
  const auto& a = settings_.address;
  return to_lower(a.repository.empty() ? a.owner : a.owner + "." + a.repository);
}

Result<CiNews> Connector::receive(const std::vector<std::pair<std::string, std::string>>& headers,
                                  std::string_view body) {
  MAYFLY_ASSIGN(auto secret, secrets_.get(settings_.webhook_secret));
  if (!signature_fits(secret, body, header(headers, "x-hub-signature-256")))
    return fail(ErrorCode::denied, "the signature is missing or wrong", "webhook",
                "The webhook's secret at GitHub and webhook_secret here must be the same.");
  MAYFLY_ASSIGN(auto notice, read_notice(header(headers, "x-github-event"), body));
  if (!notice) return CiNews{};
  auto delivery = header(headers, "x-github-delivery");
  {
    std::lock_guard lock(mutex_);
    if (delivery.size() > max_delivery_id || !replays_.take(delivery, notice->job.latest(), api_->server_now()))
      return fail(ErrorCode::conflict, "this delivery came before, or is older than three days", "webhook");
  }
  CiNews news;
  auto slash = notice->job.repository.find('/');
  const auto& a = settings_.address;
  bool ours = slash != std::string::npos && to_lower(notice->job.repository.substr(0, slash)) == to_lower(a.owner) &&
              is_repository_name(notice->job.repository.substr(slash + 1)) &&
              (a.whole_organization() || to_lower(notice->job.repository.substr(slash + 1)) == to_lower(a.repository));
  if (!ours || !serves(labels_, notice->job.labels)) return news;
  if (auto now = queue_->heard(notice->job); now && takeable(*now)) news.jobs.push_back(to_ci_job(*now));
  return news;
}

Result<std::unique_ptr<Ci>> Connectors::make(const std::map<std::string, std::string>& keys) {
  MAYFLY_ASSIGN(auto settings, settings_from(keys));
  auto reader = [this](const std::string& name) -> SecretReader {
    return [&secrets = secrets_, name] { return secrets.get(name); };
  };
  std::erase_if(apis_, [](const auto& entry) { return entry.second.expired(); });
  std::erase_if(queues_, [](const auto& entry) { return entry.second.expired(); });
  auto& known_api = apis_[settings.account()];
  auto api = known_api.lock();
  if (!api) {
    Credentials credentials;
    if (settings.app_id.empty()) {
      credentials.token = reader(settings.token);
    } else {
      credentials.app_id = settings.app_id;
      credentials.private_key = reader(settings.private_key);
      credentials.installation_id = settings.installation_id;
    }
    known_api = api = std::make_shared<Api>(settings.address, std::move(credentials), clock_);
  }
  auto& known_queue = queues_[fmt::format("{}|{}|{}", settings.account(), to_lower(settings.address.runners()),
                                          join(settings.repositories, ","))];
  auto queue = known_queue.lock();
  if (!queue) known_queue = queue = std::make_shared<Queue>(api, settings.address, settings.repositories, clock_);
  return std::make_unique<Connector>(std::move(settings), api, queue, secrets_, clock_);
}

}  // namespace mayfly::github
