#pragma once
// Inside net/ only: the files and frames of one line to an agent.
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "ports/agents.h"

namespace mayfly::net {

// Connects without blocking; unavailable: nobody listens there yet.
Result<Fd> connect_unix(const std::string& path);

// In the order that the agent expects: log, index, result[, input][, output]. Nothing is truncated: an order is
// repeated after a restart of the daemon, and must not wipe what the agent has written by then.
Result<std::vector<Fd>> open_order_files(const AgentOrder& order);

// Sends from `bytes`, the descriptors with the first byte. How much went; 0: the socket is full for now.
Result<std::size_t> send_with_fds(int socket, std::string_view bytes, const std::vector<Fd>& fds);

// Cuts a byte stream into frames.
class FrameReader {
 public:
  void add(std::string_view bytes) { buffer_ += bytes; }
  // The next whole frame's text; nullopt: not all there yet. An oversized frame is an error, found by its length alone.
  Result<std::optional<std::string>> next();

 private:
  std::string buffer_;
};

}  // namespace mayfly::net
