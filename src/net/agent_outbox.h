#pragma once
// Inside net/ only: what is to be sent to one agent. Control's thread sends an order's announcement and its beginning
// itself, for the loop's thread may have to wait for a processor that control's is using; all else is the loop's.
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace mayfly::net {

class AgentOutbox {
 public:
  // From now on there is a line. The socket is not owned: closed() comes before its end.
  void open(int socket);
  void closed();

  enum class Sent { all, partly /* flush() has to go on */, not_at_all };
  // Any thread: at once, or not at all when there is no line or something waits to be sent before it.
  Sent send_now(const std::string& text, const std::vector<Fd>& fds);
  // False: there are too many that the agent does not take.
  bool add(std::string text, std::vector<Fd> fds);
  // Sends what waits. False: the socket is full for now.
  Result<bool> flush();

 private:
  struct Message {
    Message(const std::string& text, std::vector<Fd> fds);
    ~Message();
    Message(Message&&) = default;
    std::string bytes;
    std::vector<Fd> fds;
    std::size_t sent = 0;
  };

  std::mutex mutex_;
  int socket_ = -1;
  std::deque<Message> queue_;
};

}  // namespace mayfly::net
