#include "platforms/fake/fake_world.h"

#include <algorithm>

#include <fmt/format.h>

#include "platforms/fake/fake_files.h"

namespace mayfly {

Time FakeClock::now() const {
  std::scoped_lock lock(mutex_);
  return now_;
}
void FakeClock::advance(Duration d) {
  std::scoped_lock lock(mutex_);
  now_ += d;
}
void FakeClock::jump(Duration by) {
  std::scoped_lock lock(mutex_);
  now_ += by;
  jumped_ += by;
}

Duration FakeClock::steady() const {
  std::scoped_lock lock(mutex_);
  return now_.time_since_epoch() - jumped_;
}

void FakeClock::set(Time t) {
  std::scoped_lock lock(mutex_);
  now_ = t;
}

// --- what the platform asks for

Result<void> FakeWorld::launch(const BuilderRequest& request, Deadline deadline) {
  std::unique_lock lock(mutex_);
  if (std::chrono::steady_clock::now() >= deadline)
    return fail(ErrorCode::timeout, "the deadline had passed before it began", request.id);
  if (auto known = builders_.find(request.id); known != builders_.end())
    return known->second.alive ? Result<void>() : fail(ErrorCode::conflict, "it exists and is over", request.id);
  auto b = behaviour(request);
  if (b.launch == FakeBehaviour::Launch::fails)
    return fail(ErrorCode::unavailable, "the launch failed", request.id, "This is what the test asked for.");
  ++counts_.launches;
  counts_.second_lives += past_.contains(request.id) ? 1 : 0;
  Living& living = builders_[request.id];
  living.behaviour = b;
  living.alive = b.launch != FakeBehaviour::Launch::leaves;
  counts_.most_builders = std::max(counts_.most_builders, static_cast<int>(builders_.size()));
  if (b.launch == FakeBehaviour::Launch::leaves)
    return fail(ErrorCode::unavailable, "the launch failed half-way", request.id);
  if (b.launch == FakeBehaviour::Launch::reply_lost) return fail(ErrorCode::timeout, "no answer came back", request.id);
  if (b.launch == FakeBehaviour::Launch::held) {
    ++held_;
    changed_.notify_all();
    bool went = changed_.wait_until(lock, deadline, [&] { return launches_go_; });
    --held_;
    if (!went) return fail(ErrorCode::timeout, "no answer by the deadline", request.id);
  }
  return {};
}

bool FakeWorld::remove(const BuilderId& id) {
  {
    std::scoped_lock lock(mutex_);
    auto found = builders_.find(id);
    if (found == builders_.end()) return false;
    ++counts_.stops;
    if (found->second.alive) end_life(found->second, id, "the builder was stopped");
    builders_.erase(found);
    past_.insert(id);
  }
  pump_if_immediate();
  return true;
}

// --- what the agents are asked for

void FakeWorld::connect(Line line, const BuilderId& id, bool right_address, Duration patience) {
  {
    std::scoped_lock lock(mutex_);
    auto found = builders_.find(id);
    bool answers =
        right_address && found != builders_.end() && found->second.alive && found->second.behaviour.reachable;
    if (answers) {
      found->second.line = line;
      found->second.held = {};
      at({}, {.builder = id, .what = What::hello, .line = line});
    } else {
      at(patience, {.builder = id, .what = What::unreachable, .line = line, .text = "nothing answers at its address"});
    }
  }
  pump_if_immediate();
}

void FakeWorld::prepare(Line line, const BuilderId& id, JobId job) {
  std::scoped_lock lock(mutex_);
  auto found = builders_.find(id);
  if (found == builders_.end() || found->second.line != line) return;
  found->second.held = {line, job};
  ++counts_.prepared;
}

void FakeWorld::assign(Line line, const BuilderId& id, AgentOrder order) {
  {
    std::scoped_lock lock(mutex_);
    auto found = builders_.find(id);
    if (found == builders_.end() || found->second.line != line) return;  // written to a closed line
    Living& b = found->second;
    JobId job = order.message.job;
    if (b.held.first == line && b.held.second != job) ++counts_.other_prepared;
    b.offered.insert(job);
    counts_.most_jobs_of_a_builder = std::max(counts_.most_jobs_of_a_builder, static_cast<int>(b.offered.size()));
    JobId has = b.order.message.job;
    if (has == job) {
      at({}, {.builder = id, .what = What::hello, .line = line});
    } else if (has != 0 || b.behaviour.refuses) {
      auto why = has != 0 ? fmt::format("it has job {} already", has) : "it takes no job";
      at({}, {.builder = id, .what = What::refused, .line = line, .job = job, .text = why});
    } else {
      b.order = std::move(order);
      b.result_file = open_fake_result(b.order);
      begin_job(b, id);
    }
  }
  pump_if_immediate();
}

void FakeWorld::cancel(Line line, const BuilderId& id, JobId job) {
  {
    std::scoped_lock lock(mutex_);
    auto found = builders_.find(id);
    if (found == builders_.end() || found->second.line != line || found->second.order.message.job != job) return;
    if (found->second.finished || found->second.behaviour.deaf) return;  // too late: the result stands
    std::erase_if(agenda_, [&](const auto& h) {
      return h.second.builder == id && (h.second.what == What::finish || h.second.what == What::die);
    });
    found->second.outcome.result = {.cause = JobCause::cancelled, .exit_code = 0, .signal = 15, .message = {}};
    at({}, {.builder = id, .what = What::finish});
  }
  pump_if_immediate();
}

void FakeWorld::release(Line line, const BuilderId& id) {
  {
    std::scoped_lock lock(mutex_);
    auto found = builders_.find(id);
    if (found == builders_.end() || found->second.line != line || !found->second.alive) return;
    end_life(found->second, id, "the agent has gone, as it was told");
  }
  pump_if_immediate();
}

void FakeWorld::disconnect(Line line, const BuilderId& id) {
  std::scoped_lock lock(mutex_);
  if (auto found = builders_.find(id); found != builders_.end() && found->second.line == line)
    found->second.line = nullptr;
  std::erase_if(agenda_, [&](const auto& h) { return h.second.builder == id && h.second.line == line; });
}

void FakeWorld::detach(Line line) {
  std::unique_lock lock(mutex_);
  for (auto& [id, b] : builders_)
    if (b.line == line) b.line = nullptr;
  std::erase_if(agenda_, [&](const auto& h) { return h.second.line == line; });
  changed_.wait(lock, [&] { return speaking_to_ != line; });
}

// --- what the test does

void FakeWorld::let_launches_go() {
  std::scoped_lock lock(mutex_);
  launches_go_ = true;
  changed_.notify_all();
}

void FakeWorld::kill(const BuilderId& id) {
  {
    std::scoped_lock lock(mutex_);
    if (auto found = builders_.find(id); found != builders_.end() && found->second.alive)
      end_life(found->second, id, "the builder died");
  }
  pump_if_immediate();
}

void FakeWorld::vanish(const BuilderId& id) {
  kill(id);
  std::scoped_lock lock(mutex_);
  if (builders_.erase(id) > 0) past_.insert(id);
}

void FakeWorld::break_line(const BuilderId& id) {
  {
    std::scoped_lock lock(mutex_);
    auto found = builders_.find(id);
    if (found == builders_.end() || !found->second.line) return;
    at({}, {.builder = id, .what = What::unreachable, .line = found->second.line, .text = "the line broke"});
    found->second.line = nullptr;
  }
  pump_if_immediate();
}

int FakeWorld::deliver_all() { return pump(false); }

std::optional<Time> FakeWorld::next_due() const {
  std::scoped_lock lock(mutex_);
  return agenda_.empty() ? std::nullopt : std::optional(agenda_.begin()->first);
}

FakeCounts FakeWorld::counts() const {
  std::scoped_lock lock(mutex_);
  return counts_;
}

std::vector<SeenBuilder> FakeWorld::builders() const {
  std::scoped_lock lock(mutex_);
  std::vector<SeenBuilder> seen;
  for (const auto& [id, b] : builders_) seen.push_back({id, b.alive});
  return seen;
}

std::size_t FakeWorld::held_launches() const {
  std::scoped_lock lock(mutex_);
  return held_;
}

}  // namespace mayfly
