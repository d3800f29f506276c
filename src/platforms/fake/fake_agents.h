#pragma once
// ports/agents.h in a FakeWorld: one daemon's lines to its builders' agents.
#include "platforms/fake/fake_platform.h"
#include "platforms/fake/fake_world.h"

namespace mayfly {

class FakeAgents final : public Agents {
 public:
  FakeAgents(FakeWorld& world, AgentSink sink) : world_(world), sink_(std::move(sink)) {}
  ~FakeAgents() override { world_.detach(&sink_); }
  FakeAgents(const FakeAgents&) = delete;
  FakeAgents& operator=(const FakeAgents&) = delete;

  void connect(const BuilderId& builder, const std::string& address, Duration patience) override {
    world_.connect(&sink_, builder, address == FakePlatform::address(builder), patience);
  }
  void prepare(const BuilderId& builder, const AgentOrder& order) override {
    world_.prepare(&sink_, builder, order.message.job);
  }
  void assign(const BuilderId& builder, AgentOrder order) override { world_.assign(&sink_, builder, std::move(order)); }
  void cancel(const BuilderId& builder, JobId job) override { world_.cancel(&sink_, builder, job); }
  void release(const BuilderId& builder) override { world_.release(&sink_, builder); }
  void disconnect(const BuilderId& builder) override { world_.disconnect(&sink_, builder); }

 private:
  FakeWorld& world_;
  const AgentSink sink_;
};

}  // namespace mayfly
