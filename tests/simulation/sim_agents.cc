#include "tests/simulation/sim_agents.h"

namespace mayfly::sim {
namespace {

std::string_view word(AgentEvent::Kind k) {
  static constexpr std::string_view words[] = {"hello", "started", "finished", "refused", "unreachable"};
  return words[static_cast<int>(k)];
}

}  // namespace

SimAgents::SimAgents(Land& land, std::function<void(std::uint64_t, AgentEvent)> post)
    : land_(land), post_(std::move(post)), generation_(land.generation) {
  for (auto& [name, place] : land.places)
    lines_[name] = std::make_unique<FakeAgents>(place->fake, [this](AgentEvent e) { heard(std::move(e)); });
}

void SimAgents::heard(AgentEvent event) {
  if (land_.mutation == Mutation::result_changed && event.finished && land_.rng.one_in(10))
    event.finished->result = {JobCause::exited, 0, 0, {}};
  // The result is written, and the word of it is lost with the line.
  if (event.kind == AgentEvent::Kind::finished && lost(event.builder, "finished")) return;
  Time& last = last_heard_[event.builder];
  Duration delay =
      land_.rng.percent(land_.faults.event_delayed) ? land_.rng.spread(milliseconds(1), seconds(20)) : Duration();
  last = std::max(last, land_.now() + delay);
  // Not through `this`: these may come when the daemon and its lines are gone.
  auto deliver = [land = &land_, post = post_, generation = generation_, event = std::move(event)] {
    if (land->generation != generation) return;
    land->note("agent {} says {}", event.builder, word(event.kind));
    post(generation, event);
  };
  land_.agenda.at(last, deliver);
  if (!land_.rng.percent(land_.faults.event_doubled)) return;
  Duration later = land_.rng.spread(milliseconds(1), seconds(60));
  land_.agenda.at(last + later, deliver);
}

// Written into a line that is broken already, which is noticed only later.
bool SimAgents::lost(const BuilderId& builder, std::string_view what) {
  if (!land_.rng.percent(land_.faults.message_lost)) return false;
  land_.note("{}, on the line of {}, gets lost", what, builder);
  land_.harmed.insert(builder);
  Duration noticed = land_.rng.spread(milliseconds(1), seconds(10));
  land_.agenda.at(land_.now() + noticed,
                  [land = &land_, builder] { land->place_of(builder).fake.break_line(builder); });
  return true;
}

void SimAgents::connect(const BuilderId& builder, const std::string& address, Duration patience) {
  land_.note("connect {}", builder);
  line(builder).connect(builder, address, patience);
}

// What a job needs of its image must be in its order, also when another daemon than the first sends it.
void SimAgents::check_order(const BuilderId& builder, const AgentOrder& order) const {
  auto path = order.message.env.find("PATH");
  if (path == order.message.env.end() || path->second != "/usr/bin:/bin")
    broken("7: a builder runs its pool's image, by digest",
           fmt::format("job {} is handed to {} without its image's environment", order.message.job, builder));
}

void SimAgents::assign(const BuilderId& builder, AgentOrder order) {
  land_.note("assign job {} to {}", order.message.job, builder);
  check_order(builder, order);
  if (lost(builder, "assign")) return;
  auto previous = std::exchange(last_assigned_, builder);
  if (land_.mutation == Mutation::assign_other && !previous.empty() && land_.rng.one_in(10))
    return line(previous).assign(previous, order);
  if (land_.mutation == Mutation::assign_twice && !previous.empty() && land_.rng.one_in(10))
    line(previous).assign(previous, order);
  line(builder).assign(builder, std::move(order));
}

void SimAgents::cancel(const BuilderId& builder, JobId job) {
  land_.note("cancel job {} on {}", job, builder);
  if (!lost(builder, "cancel")) line(builder).cancel(builder, job);
}

}  // namespace mayfly::sim
