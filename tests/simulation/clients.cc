#include "tests/simulation/clients.h"

namespace mayfly::sim {
namespace {
constexpr auto i2 = "2: a job ends exactly once, in a named state, and truly";
constexpr auto i8 = "8: no job and no record is lost";
}  // namespace

JobSpec Clients::draw_spec() {
  static const std::vector<std::string> people = {"ann", "bob", "cy"};
  Rng& rng = land_.rng;
  std::vector<PoolName> pools;
  for (const auto& [name, p] : land_.config.pools) pools.push_back(name);
  JobSpec s;
  s.pool = rng.pick(pools);
  s.command = {"work"};
  s.submitter = rng.pick(people);
  s.priority = rng.one_in(5) ? rng.between(-2, 2) : 0;
  s.repeatable = rng.percent(40);
  if (rng.one_in(4)) s.timeout = rng.spread(seconds(1), land_.config.pools.at(s.pool).limits.timeout);
  if (rng.one_in(10)) s.secrets.push_back(rng.percent(50) ? "known" : "unknown");
  draw_labels(s);
  if (rng.one_in(40)) s.pool = "nowhere";
  return s;
}

// Some ask for labels instead of a pool; and somebody may have taken them away by the time they are heard.
void Clients::draw_labels(JobSpec& s) {
  Rng& rng = land_.rng;
  bool asks = rng.percent(40);
  auto labels = land_.config.pools.at(s.pool).labels;
  if (!asks || labels.empty()) return;
  s.pool.clear();
  for (auto& label : labels)
    if (rng.percent(60)) s.labels.push_back(rng.one_in(4) ? "LINUX" : label);
  if (s.labels.empty()) s.labels = {labels.front()};
}

void Clients::draw_requests(Duration within) {
  Rng& rng = land_.rng;
  int total = static_cast<int>(rng.spread(Duration(3), Duration(60)).count());
  bool at_once = rng.one_in(4);
  for (int i = 0; i < total; ++i) {
    Request r;
    r.spec = draw_spec();
    if (rng.percent(80)) r.key = fmt::format("key-{}", i);
    r.gives_up = rng.one_in(8);
    requests_.push_back(r);
    Duration when = rng.upto(at_once ? Duration(seconds(1)) : within);
    auto n = static_cast<std::size_t>(i);
    land_.agenda.at(land_.now() + when, [this, n] { submit(n); });
    if (!r.key.empty() && rng.one_in(6)) {  // an impatient one asks twice
      bool at_the_same_moment = rng.one_in(3);
      Duration again = at_the_same_moment ? Duration() : rng.spread(milliseconds(1), seconds(30));
      land_.agenda.at(land_.now() + when + again, [this, n] { submit(n); });
    }
  }
  int others = rng.between(0, total);
  for (int i = 0; i < others; ++i) {
    Duration when = rng.upto(within);
    bool cancels = rng.percent(40);
    land_.agenda.at(land_.now() + when, [this, cancels] { cancels ? cancel_one() : ask_around(); });
  }
}

void Clients::draw_releases(Duration within) {
  Rng& rng = land_.rng;
  int releases = rng.between(0, 5), orders = rng.one_in(3) ? rng.between(1, 5) : 0;
  for (int i = 0; i < releases; ++i) land_.agenda.at(land_.now() + rng.upto(within), [this] { release_one(); });
  for (int i = 0; i < orders; ++i) land_.agenda.at(land_.now() + rng.upto(within), [this] { order_one(); });
}

void Clients::release_one() {
  ReleaseRequest r;
  r.image = "versioned";
  r.reference = version_reference(land_.rng.between(0, version_references - 1));
  r.level = land_.rng.one_in(6) ? VersionLevel::major : VersionLevel::patch;
  send_([this, r](Core& core) {
    land_.note("release {}", r.reference);
    core.release(r, "ann", [this](Result<ImageVersion> v) {
      if (v && !land_.versions.contains("versioned@" + v->number.text()))
        broken(i8, fmt::format("version {} is promised before it is written", v->number.text()));
    });
  });
}

void Clients::order_one() {
  if (land_.rng.one_in(4)) {
    send_([this](Core& core) {
      land_.note("the last version is withdrawn");
      core.withdraw_after("versioned", {}, "bob", [](auto) {});
    });
    return;
  }
  auto order = static_cast<RolloutOrder>(land_.rng.between(0, 3));
  std::vector<PoolName> pools;
  for (const auto& [name, p] : land_.config.pools) pools.push_back(name);
  auto pool = land_.rng.pick(pools);
  send_([this, order, pool](Core& core) {
    land_.note("order {} for the rollout of {}", static_cast<int>(order), pool);
    core.change_rollout(pool, order, "bob", [](auto) {});
  });
}

void Clients::let_rollouts_go_on() {
  send_([](Core& core) {
    for (const auto& p : core.rollouts())
      if (p.rollout && p.rollout->paused) core.change_rollout(p.pool, RolloutOrder::resume, "bob", [](auto) {});
  });
}

void Clients::submit(std::size_t n) {
  bool sent = send_([this, n](Core& core) {
    land_.note("submit #{} to {}{}", n, requests_[n].spec.pool, fmt::join(requests_[n].spec.labels, "+"));
    core.submit(requests_[n].spec, requests_[n].key, [this, n](Result<Job> reply) { answered(n, reply); });
  });
  // Whoever hears nothing for half a minute asks again: only with a key, for that alone makes it safe.
  Duration patience = seconds(20) + land_.rng.upto(seconds(20));
  if (!sent || !requests_[n].answered) land_.agenda.at(land_.now() + patience, [this, n] { retry(n); });
}

void Clients::retry(std::size_t n) {
  const Request& r = requests_[n];
  if (!r.answered && !r.key.empty() && !r.gives_up) submit(n);
}

void Clients::answered(std::size_t n, const Result<Job>& reply) {
  Request& r = requests_[n];
  if (!reply) {
    land_.note("#{} is refused: {}", n, reply.error().text());
    bool later = reply.error().code == ErrorCode::exhausted || reply.error().code == ErrorCode::unavailable;
    r.answered = r.answered || !later;
    return;
  }
  land_.note("#{} is accepted as job {}", n, reply->id);
  r.answered = true;
  accepted_.insert(reply->id);
  if (!store_.jobs_seen.contains(reply->id))
    broken(i8, fmt::format("job {} is accepted before it is written", reply->id));
  if (r.key.empty()) return;
  auto [at, fresh] = by_key_.emplace(r.key, reply->id);
  if (at->second == reply->id) return;
  if (!store_.forgotten.contains(at->second))
    broken("one key makes one job", fmt::format("{} was answered with jobs {} and {}", r.key, at->second, reply->id));
  at->second = reply->id;
}

void Clients::cancel_one() {
  if (accepted_.empty()) return;
  auto at = accepted_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(land_.rng.below(accepted_.size())));
  send_([this, id = *at](Core& core) {
    land_.note("cancel job {}", id);
    core.cancel(id, "ann", [this, id](Result<Job> reply) {
      land_.note("cancelling job {}: {}", id, reply ? std::string(to_string(reply->state)) : reply.error().text());
      if (reply && !store_.jobs_seen.at(id).cancel_requested)
        broken(i8, fmt::format("the cancelling of job {} is answered before it is written", id));
    });
  });
}

// Questions change nothing, and must be answered truly at any time.
void Clients::ask_around() {
  if (accepted_.empty()) return;
  auto at = accepted_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(land_.rng.below(accepted_.size())));
  send_([this, id = *at](Core& core) {
    core.when_ended(id, [this, id](Result<Job> job) {
      if (!job) {
        if (!store_.forgotten.contains(id)) broken(i8, fmt::format("job {}: {}", id, job.error().text()));
        return;
      }
      if (!is_final(job->state) || job->state != store_.jobs_seen.at(id).state)
        broken(i2, fmt::format("one who waits for job {} is told {}", id, to_string(job->state)));
    });
    auto why = core.explain(id);
    if (!why && !store_.forgotten.contains(id)) broken(i8, "explain: " + why.error().text());
    core.status();
  });
}

void Clients::check_accepted() const {
  for (JobId id : accepted_)
    if (!store_.jobs_seen.contains(id)) broken(i8, fmt::format("job {} was accepted and is nowhere", id));
}

std::optional<std::string> Clients::unfinished() const {
  for (const auto& [id, j] : store_.jobs_seen)
    if (!is_final(j.state))
      return fmt::format("job {} is {} ({}: {})", id, to_string(j.state), to_string(j.waiting.code), j.waiting.text);
  for (std::size_t n = 0; n < requests_.size(); ++n)
    if (const auto& r = requests_[n]; !r.answered && !r.key.empty() && !r.gives_up)
      return fmt::format("request #{} never got an answer", n);
  return std::nullopt;
}

bool Clients::all_over() const { return !unfinished(); }

}  // namespace mayfly::sim
