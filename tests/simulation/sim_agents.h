#pragma once
// ports/agents.h over the agents of all platforms. What an agent says keeps its order, as on a line, but may take its
// time, and may come again later, even after its builder is gone. What is said to an agent may get lost; then its line
// breaks.
#include <map>

#include "platforms/fake/fake_agents.h"
#include "tests/simulation/land.h"

namespace mayfly::sim {

class SimAgents final : public Agents {
 public:
  // `post` hands an event to the daemon that these are the lines of.
  SimAgents(Land& land, std::function<void(std::uint64_t generation, AgentEvent)> post);

  void connect(const BuilderId& builder, const std::string& address, Duration patience) override;
  void assign(const BuilderId& builder, AgentOrder order) override;
  void cancel(const BuilderId& builder, JobId job) override;
  void release(const BuilderId& builder) override { line(builder).release(builder); }
  void disconnect(const BuilderId& builder) override { line(builder).disconnect(builder); }

 private:
  FakeAgents& line(const BuilderId& builder) { return *lines_.at(builder.substr(0, 1)); }
  void heard(AgentEvent event);
  bool lost(const BuilderId& builder, std::string_view what);
  void check_order(const BuilderId& builder, const AgentOrder& order) const;

  Land& land_;
  std::function<void(std::uint64_t, AgentEvent)> post_;
  std::uint64_t generation_;
  std::map<std::string, std::unique_ptr<FakeAgents>> lines_;
  std::map<BuilderId, Time> last_heard_;
  BuilderId last_assigned_;
};

}  // namespace mayfly::sim
