#pragma once
// Control's line to the agents inside builders. Methods return at once, from the control thread only; what happens
// comes back as AgentEvents through the sink that the implementation was made with (called on the implementation's own
// thread).
#include <functional>
#include <optional>
#include <string>

#include "model/agent_message.h"
#include "model/builder.h"

namespace mayfly {

// A job as handed to a builder: the message, and the files on this host that the agent reads and writes.
struct AgentOrder {
  agent::Assign message;
  std::string log_path;     // appended: the job's output, both streams as they came (model/log_index.h)
  std::string index_path;   // appended: where each piece came from and when
  std::string result_path;  // written once, at the end: agent::Finished as JSON, so that a dead daemon misses nothing
  std::string input_path;   // tar to unpack into the workspace; empty: none
  std::string output_path;  // tar to write at the end; empty: none
};

struct AgentEvent {
  enum class Kind {
    hello,        // connected; `message` says what the agent is doing
    started,      // the job's process runs
    finished,     // the job ended
    refused,      // the agent would not take the job: it has one already, or the order made no sense
    unreachable,  // the agent closed the line or did not answer within the time given to connect()
  };
  Kind kind = Kind::unreachable;
  BuilderId builder;
  std::optional<agent::Hello> hello;
  std::optional<agent::Finished> finished;
  JobId job = 0;
  Time at{};         // started
  std::string text;  // refused, unreachable: why
};

using AgentSink = std::function<void(AgentEvent)>;

class Agents {
 public:
  virtual ~Agents() = default;
  // Opens the line, retrying for `patience`; ends in hello or unreachable. A later break is unreachable too.
  virtual void connect(const BuilderId& builder, const std::string& address, Duration patience) = 0;
  // Announces the order of the assign() that is sure to follow unless the daemon dies: the agent makes ready for it
  // while it is being recorded, and starts nothing; if the line breaks it forgets it. Only for speed: doing nothing is
  // right.
  virtual void prepare(const BuilderId& /*builder*/, const AgentOrder& /*order*/) {}
  virtual void assign(const BuilderId& builder, AgentOrder order) = 0;
  virtual void cancel(const BuilderId& builder, JobId job) = 0;
  // The result is recorded: the agent may go.
  virtual void release(const BuilderId& builder) = 0;
  // Closes the line; no event comes after this returns but those already on their way.
  virtual void disconnect(const BuilderId& builder) = 0;
};

}  // namespace mayfly
