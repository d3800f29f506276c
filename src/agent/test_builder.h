#pragma once
// For tests: the real agent as PID 1 of a small container (own pid and mount namespaces, a tmpfs with the host's
// programs in it), and the daemon's end of the line to it.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "model/agent_message.h"
#include "model/log_index.h"

namespace mayfly::agent {

struct TestFiles {
  TestFiles();
  Fd log, index, result, input, output;
  std::string log_text() const;
  std::string stream(LogStream which) const;  // what the index says was this stream's
  std::vector<LogRecord> records() const;
};

std::string read_all(int fd);
void write_all(int fd, std::string_view text);

struct TestBuilderOptions {
  int orphan_grace_ms = 60'000;
  std::string disk = "64m";
  std::optional<std::string> seccomp = std::nullopt;  // the filter it is given, if one
};

class TestBuilder {
 public:
  explicit TestBuilder(const TestBuilderOptions& options = {});
  ~TestBuilder();
  TestBuilder(const TestBuilder&) = delete;
  TestBuilder& operator=(const TestBuilder&) = delete;

  // Why there is none: a right that the host lacks. Empty: it runs.
  const std::string& missing() const { return missing_; }
  pid_t pid() const { return pid_; }

  void connect();
  void disconnect() { line_.reset(); }
  Fd take_line() { return std::move(line_); }  // stays open
  void send(const ToAgent& message);
  void assign(const Assign& order, const TestFiles& files);
  std::optional<FromAgent> receive();  // the next message; nothing: the line is closed, or 30 s have passed
  template <class T>
  T expect() {
    auto message = receive();
    if (message && std::holds_alternative<T>(*message)) return std::get<T>(*message);
    ADD_FAILURE() << "expected another message than " << (message ? encode(*message) : "none");
    return {};
  }
  Finished run(const Assign& order, const TestFiles& files);  // connects, assigns, and waits for the end
  void set_oom_kills(int n);
  std::string children() const;    // pids of the agent's children, as the kernel lists them
  std::optional<int> wait_exit();  // wait status; nothing: still there after 30 s

 private:
  std::filesystem::path directory_;
  std::string missing_, in_;
  Fd line_, oom_;
  pid_t pid_ = -1;
};

// An order with what every order has.
Assign order(std::vector<std::string> argv, JobId id = 7);
Assign shell(std::string script, JobId id = 7);
// Waits for a condition that nothing announces, at most 30 s.
bool eventually(const std::function<bool()>& condition);

}  // namespace mayfly::agent

// Declares a running builder, or skips the test.
#define BUILDER(name, ...)                       \
  ::mayfly::agent::TestBuilder name __VA_ARGS__; \
  if (!name.missing().empty()) GTEST_SKIP() << name.missing()
