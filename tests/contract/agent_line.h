#pragma once
// The daemon's end of the line to one agent, for tests: blocking, with a bound on every wait.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "model/agent_message.h"
#include "os/file.h"

namespace mayfly::testing_support {

class AgentLine {
 public:
  static Result<AgentLine> connect(const std::string& address) {
    AgentLine line;
    line.socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    // Through the opened directory: the path may be longer than a socket's address can be.
    const auto slash = address.rfind('/');
    MAYFLY_ASSIGN(const os::Fd directory, os::open_file(address.substr(0, slash), O_PATH | O_DIRECTORY));
    const std::string path = "/proc/self/fd/" + std::to_string(directory.get()) + address.substr(slash);
    std::strncpy(to.sun_path, path.c_str(), sizeof to.sun_path - 1);
    if (::connect(line.socket_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      return Unexpected(errno_error("connect", errno, address));
    return line;
  }

  Result<void> send(const agent::ToAgent& message, const std::vector<int>& fds = {}) {
    std::string bytes = agent::frame(agent::encode(message));
    iovec part{bytes.data(), bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 8)] = {};
    msghdr header{};
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    if (!fds.empty()) {
      header.msg_control = control;
      header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
      cmsghdr* c = CMSG_FIRSTHDR(&header);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
      std::memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
    }
    const ssize_t n = sendmsg(socket_.get(), &header, MSG_NOSIGNAL);
    if (n < 0) return Unexpected(errno_error("sendmsg", errno));
    return os::write_all(socket_.get(), std::string_view(bytes).substr(static_cast<std::size_t>(n)), "agent");
  }

  // The next message; fails after `patience_ms` or when the line is closed.
  Result<agent::FromAgent> receive(int patience_ms = 20'000) {
    std::string head, body;
    MAYFLY_TRY(read_exactly(head, 4, patience_ms));
    std::uint32_t length = 0;
    std::memcpy(&length, head.data(), 4);
    if (length > agent::max_frame) return fail(ErrorCode::invalid, "too long a frame");
    MAYFLY_TRY(read_exactly(body, length, patience_ms));
    return agent::decode_from_agent(body);
  }

 private:
  Result<void> read_exactly(std::string& into, std::size_t count, int patience_ms) {
    while (into.size() < count) {
      pollfd readable{socket_.get(), POLLIN, 0};
      if (poll(&readable, 1, patience_ms) <= 0) return fail(ErrorCode::timeout, "the agent says nothing");
      char buffer[4096];
      const ssize_t n = read(socket_.get(), buffer, std::min(sizeof buffer, count - into.size()));
      if (n <= 0) return fail(ErrorCode::unavailable, "the agent closed the line");
      into.append(buffer, static_cast<std::size_t>(n));
    }
    return {};
  }
  os::Fd socket_;
};

// What a job did, as its files tell.
struct JobOutcome {
  agent::Finished finished;
  std::string log;
};

// One job from hello to finished, in files below `directory`.
inline Result<JobOutcome> run_job(const std::string& address, const std::string& directory, agent::Assign assign) {
  MAYFLY_ASSIGN(AgentLine line, AgentLine::connect(address));
  std::vector<os::Fd> files;
  std::vector<int> fds;
  for (const char* name : {"/log", "/index", "/result"}) {
    MAYFLY_ASSIGN(os::Fd file, os::open_file(directory + name, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600));
    files.push_back(std::move(file));
    fds.push_back(files.back().get());
  }
  MAYFLY_ASSIGN(const agent::FromAgent first, line.receive());
  if (!std::holds_alternative<agent::Hello>(first)) return fail(ErrorCode::internal, "the first message is not hello");
  MAYFLY_TRY(line.send(std::move(assign), fds));
  for (;;) {
    MAYFLY_ASSIGN(const agent::FromAgent message, line.receive());
    if (const auto* refused = std::get_if<agent::Refused>(&message))
      return fail(ErrorCode::conflict, "refused: " + refused->why);
    const auto* finished = std::get_if<agent::Finished>(&message);
    if (!finished) continue;
    MAYFLY_ASSIGN(std::string log, os::read_file(directory + "/log", 64u << 20));
    MAYFLY_TRY(line.send(agent::Release{}));
    return JobOutcome{*finished, std::move(log)};
  }
}

inline agent::Assign script_job(const std::string& script) {
  agent::Assign assign;
  assign.job = 1;
  assign.script = script;
  assign.env = {{"PATH", "/bin"}};
  assign.timeout = seconds(60);
  assign.grace = seconds(2);
  assign.log_limit = 16 << 20;
  return assign;
}

}  // namespace mayfly::testing_support
