// What happens in the world, and how it is told.
#include <algorithm>

#include "platforms/fake/fake_files.h"
#include "platforms/fake/fake_world.h"

namespace mayfly {

void FakeWorld::at(Duration later, Happening what) { agenda_.emplace(clock_.now() + later, std::move(what)); }

void FakeWorld::begin_job(Living& b, const BuilderId& id) {
  const auto& message = b.order.message;
  if (b.behaviour.death == FakeBehaviour::Death::on_assign) return at({}, {.builder = id, .what = What::die});
  b.outcome = outcome(message);
  if (message.timeout > Duration::zero() && b.outcome.takes > message.timeout) {
    b.outcome.takes = message.timeout;
    b.outcome.result = {.cause = JobCause::timed_out, .exit_code = 0, .signal = 15, .message = {}};
  }
  at({}, {.builder = id, .what = What::started});
  bool dies = b.behaviour.death == FakeBehaviour::Death::while_running;
  if (b.behaviour.deaf && !dies) return;
  at(b.outcome.takes, {.builder = id, .what = dies ? What::die : What::finish});
}

void FakeWorld::end_life(Living& b, const BuilderId& id, const std::string& why) {
  b.alive = false;
  // What the agent had said is on its way and arrives; what it was yet to do does not happen.
  std::erase_if(agenda_, [&](const auto& h) { return h.second.builder == id && !h.second.line; });
  if (b.line) at({}, {.builder = id, .what = What::unreachable, .line = b.line, .text = why});
  b.line = nullptr;
}

AgentEvent FakeWorld::hello(const Living& b, const BuilderId& id) const {
  AgentEvent e{.kind = AgentEvent::Kind::hello,
               .builder = id,
               .hello = agent::Hello(),
               .finished = {},
               .job = 0,
               .at = {},
               .text = {}};
  e.hello->job = b.order.message.job;
  e.hello->started_at = b.started_at;
  e.hello->finished = b.finished;
  return e;
}

AgentEvent FakeWorld::finish(Living& b, const BuilderId& id) {
  agent::Finished f{.job = b.order.message.job,
                    .result = b.outcome.result,
                    .started_at = b.started_at,
                    .ended_at = clock_.now(),
                    .log_bytes = static_cast<std::int64_t>(b.outcome.output.size()),
                    .log_truncated = false};
  b.finished = f;
  write_fake_files(b.order, b.outcome.output, f, b.result_file.get());
  b.result_file.reset();
  on_finish(id, f);
  return {.kind = AgentEvent::Kind::finished,
          .builder = id,
          .hello = {},
          .finished = f,
          .job = f.job,
          .at = {},
          .text = {}};
}

std::optional<FakeWorld::Delivery> FakeWorld::happen(const Happening& h) {
  AgentEvent e{.kind = AgentEvent::Kind::unreachable,
               .builder = h.builder,
               .hello = {},
               .finished = {},
               .job = h.job,
               .at = {},
               .text = h.text};
  if (h.what == What::unreachable) return Delivery{h.line, e};
  auto found = builders_.find(h.builder);
  if (found == builders_.end()) return std::nullopt;
  Living& b = found->second;
  Line to = h.line ? h.line : b.line;
  switch (h.what) {
    case What::hello:
      e = hello(b, h.builder);
      break;
    case What::refused:
      e.kind = AgentEvent::Kind::refused;
      break;
    case What::started:
      b.started_at = clock_.now();
      counts_.most_runs_of_a_job = std::max(counts_.most_runs_of_a_job, ++runs_[b.order.message.job]);
      e.kind = AgentEvent::Kind::started, e.job = b.order.message.job, e.at = b.started_at;
      break;
    case What::finish:
      e = finish(b, h.builder);
      break;
    case What::die:
      end_life(b, h.builder, "the builder died");
      return std::nullopt;
    case What::unreachable:
      break;
  }
  return to ? std::optional(Delivery{to, std::move(e)}) : std::nullopt;
}

// One thread delivers at a time, so that what a builder says keeps its order; what a sink causes is delivered after it.
int FakeWorld::pump(bool everything) {
  std::unique_lock lock(mutex_);
  if (pumping_) return 0;  // the one who does takes it along
  pumping_ = true;
  int happened = 0;
  while (!agenda_.empty() && (everything || agenda_.begin()->first <= clock_.now())) {
    Happening next = std::move(agenda_.begin()->second);
    agenda_.erase(agenda_.begin());
    ++happened;
    auto delivery = happen(next);
    if (!delivery) continue;
    speaking_to_ = delivery->line;
    lock.unlock();
    (*delivery->line)(std::move(delivery->event));
    lock.lock();
    speaking_to_ = nullptr;
    changed_.notify_all();
  }
  pumping_ = false;
  return happened;
}

}  // namespace mayfly
