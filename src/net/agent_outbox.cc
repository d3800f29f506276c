#include "net/agent_outbox.h"

#include <openssl/crypto.h>

#include <string_view>
#include <utility>

#include "model/agent_message.h"
#include "net/agent_wire.h"

namespace mayfly::net {
namespace {

constexpr std::size_t max_queued = 16;  // messages; control sends four in a builder's life

}  // namespace

AgentOutbox::Message::Message(const std::string& text, std::vector<Fd> f)
    : bytes(agent::frame(text)), fds(std::move(f)) {}

AgentOutbox::Message::~Message() { OPENSSL_cleanse(bytes.data(), bytes.size()); }  // an order holds the job's secrets

void AgentOutbox::open(int socket) {
  std::lock_guard lock(mutex_);
  socket_ = socket;
}

void AgentOutbox::closed() {
  std::lock_guard lock(mutex_);
  socket_ = -1;
}

AgentOutbox::Sent AgentOutbox::send_now(const std::string& text, const std::vector<Fd>& fds) {
  std::lock_guard lock(mutex_);
  if (socket_ < 0 || !queue_.empty()) return Sent::not_at_all;
  Message message(text, {});
  auto sent = send_with_fds(socket_, message.bytes, fds);
  if (!sent || *sent == 0) return Sent::not_at_all;  // a break is the reader's to tell
  message.sent = *sent;
  if (message.sent == message.bytes.size()) return Sent::all;
  queue_.push_back(std::move(message));
  return Sent::partly;
}

bool AgentOutbox::add(std::string text, std::vector<Fd> fds) {
  std::lock_guard lock(mutex_);
  if (queue_.size() >= max_queued) return false;
  queue_.emplace_back(text, std::move(fds));
  OPENSSL_cleanse(text.data(), text.size());
  return true;
}

Result<bool> AgentOutbox::flush() {
  std::lock_guard lock(mutex_);
  while (!queue_.empty() && socket_ >= 0) {
    auto& next = queue_.front();
    MAYFLY_ASSIGN(auto sent, send_with_fds(socket_, std::string_view(next.bytes).substr(next.sent), next.fds));
    if (sent == 0) return false;
    next.fds.clear();  // they went with the first byte
    next.sent += sent;
    if (next.sent == next.bytes.size()) queue_.pop_front();
  }
  return true;
}

}  // namespace mayfly::net
