#include "simulate/world.h"

namespace mayfly::simulate {
namespace {

AgentEvent event(AgentEvent::Kind kind, const BuilderId& builder) {
  AgentEvent e;
  e.kind = kind;
  e.builder = builder;
  return e;
}

}  // namespace

Time World::on_grid(Time t) const {
  if (resolution_ <= Duration::zero()) return t;
  auto half = resolution_ / 2;
  return Time((t.time_since_epoch() + half) / resolution_ * resolution_);
}

void World::deliver_kept() {
  for (auto& message : std::exchange(kept_, {})) message();
}

bool World::deliver() {
  bool worked = prompt_ && !started_.empty();
  for (auto& e : std::exchange(started_, {})) sink_(std::move(e));
  while (!mailbox_.empty() || (!agenda_.empty() && agenda_.top().at <= clock_.now())) {
    worked = worked || !mailbox_.empty();
    for (auto& message : std::exchange(mailbox_, {})) message();
    while (!agenda_.empty() && agenda_.top().at <= clock_.now()) {
      auto id = agenda_.top().builder;
      agenda_.pop();
      worked = happen(id) || worked;
    }
  }
  return worked;
}

std::optional<Time> World::next_due() const {
  if (!mailbox_.empty()) return clock_.now();
  return agenda_.empty() ? std::nullopt : std::optional(agenda_.top().at);
}

void World::each_builder(const std::function<void(const PoolName&, Time)>& f) const {
  for (const auto& [id, b] : builders_)
    if (!b.over) f(b.pool, b.requested);
}

// A builder has one thing ahead of it at a time: being ready, then the end of its job.
bool World::happen(const BuilderId& id) {
  auto found = builders_.find(id);
  if (found == builders_.end()) return false;
  Living& b = found->second;
  if (b.launched) {
    std::exchange(b.launched, {})({});
    auto hello = event(AgentEvent::Kind::hello, id);  // its agent answers at once
    hello.hello = agent::Hello();
    sink_(std::move(hello));
    return true;
  }
  auto e = event(AgentEvent::Kind::finished, id);
  e.job = b.job;
  e.finished = agent::Finished{};
  e.finished->job = b.job;
  e.finished->result.cause = b.timed_out ? JobCause::timed_out : JobCause::exited;
  e.finished->started_at = b.started;
  e.finished->ended_at = clock_.now();
  b.over = true;  // removing it takes no time in this world
  watcher_.job_ended(b.job, b.timed_out);
  watcher_.builder_gone(b.pool, b.requested);
  if (!prompt_ && !watcher_.somebody_waits()) {
    kept_.push_back([this, e = std::move(e)]() mutable { sink_(std::move(e)); });
    return false;
  }
  sink_(std::move(e));
  return true;
}

void World::assign(const BuilderId& builder, AgentOrder order) {
  auto found = builders_.find(builder);
  if (found == builders_.end()) return;
  Living& b = found->second;
  MAYFLY_CHECK(b.job == 0);  // a builder runs at most one job, here too
  b.job = order.message.job;
  b.started = clock_.now();
  auto takes = watcher_.job_started(b.job, b.pool, order.message.timeout);
  b.timed_out = takes > order.message.timeout;
  if (b.timed_out) takes = order.message.timeout;
  happen_at(std::max(on_grid(b.started + takes), b.started), builder);
  auto e = event(AgentEvent::Kind::started, builder);
  e.job = b.job, e.at = b.started;
  started_.push_back(std::move(e));
}

void World::prepare(const std::string&, const std::string& reference, const ImageSpec*,
                    std::function<void(Result<PlatformImage>)> done) {
  mailbox_.push_back(
      [done = std::move(done), reference] { done(PlatformImage{reference, "sha256:simulated", {}, {}, {}}); });
}

void World::launch(const std::string&, BuilderRequest request, std::function<void(Result<void>)> done) {
  watcher_.builder_requested(request.pool);
  Living b;
  b.pool = request.pool;
  b.requested = clock_.now();
  b.launched = std::move(done);
  happen_at(clock_.now() + start_, request.id);
  builders_.emplace(request.id, std::move(b));
}

void World::stop(const std::string&, BuilderId builder, std::function<void(Result<void>)> done) {
  if (auto found = builders_.find(builder); found != builders_.end()) {
    if (!found->second.over) watcher_.builder_gone(found->second.pool, found->second.requested);
    builders_.erase(found);
  }
  auto& box = prompt_ || watcher_.somebody_waits() ? mailbox_ : kept_;
  box.push_back([done = std::move(done)] { done({}); });
}

void World::list(const std::string&, std::function<void(Result<std::vector<SeenBuilder>>)> done) {
  mailbox_.push_back([done = std::move(done)] { done(std::vector<SeenBuilder>()); });
}

}  // namespace mayfly::simulate
