#pragma once
// The agent's end of the line to the daemon: one peer at a time, the newest wins.
#include <poll.h>

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "model/agent_message.h"

namespace mayfly::agent {

// Cuts a byte stream into frames. Limits: a frame that says it is longer than max_frame is an error, for good.
class FrameBuffer {
 public:
  void add(std::string_view bytes) { bytes_.append(bytes); }
  Result<std::optional<std::string>> next();

 private:
  std::string bytes_;
};

class Connection {
 public:
  explicit Connection(Fd listener);

  void add_interest(std::vector<pollfd>& fds) const;
  // True when a new peer has come, and wants a hello.
  bool accept_ready();
  // Reads what has come; whole messages queue up for next().
  void peer_ready(const pollfd& fd);
  std::optional<Result<ToAgent>> next();
  // The first `count` descriptors that came and nobody has taken, or none if fewer came. Only `assign` carries any, and
  // says how many: the kernel may deliver them together with the bytes of a message before or after.
  std::vector<Fd> take_fds(std::size_t count);

  void send(const FromAgent& message);  // to nobody, when there is no peer
  bool connected() const { return static_cast<bool>(peer_); }
  int listener() const { return listener_.get(); }
  int peer() const { return peer_.get(); }

 private:
  void drop();
  void receive();
  void flush();

  Fd listener_, peer_;
  FrameBuffer in_;
  std::vector<Fd> fds_;
  std::string out_;
};

}  // namespace mayfly::agent
