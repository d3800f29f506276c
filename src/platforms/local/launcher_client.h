#pragma once
// The daemon's side of the launcher: starts it, sends orders, hands answers to whoever waits. Any thread.
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/log.h"
#include "os/file.h"
#include "platforms/local/launch_order.h"
#include "ports/platform.h"

namespace mayfly::local {

class LauncherClient {
 public:
  // `program` is the launcher's path. Waits until it is ready: a launcher of a daemon that died is waited for.
  static Result<std::unique_ptr<LauncherClient>> start(const std::string& program, const LauncherSetup& setup);
  ~LauncherClient();  // the launcher finishes what is in flight and ends; waits for that

  // Blocks until the builder runs (or the order failed). After `timeout` the order may still be at work: cancel() it.
  Result<void> launch(LaunchOrder order, Deadline deadline);
  void cancel(const std::string& id);
  bool alive() const;

 private:
  LauncherClient(os::Fd control, pid_t pid) : control_(std::move(control)), pid_(pid) {}
  void read_answers();

  os::Fd control_;
  pid_t pid_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t last_number_ = 0;
  std::map<std::uint64_t, std::optional<LaunchAnswer>> waiting_;
  bool gone_ = false;
  std::thread reader_;
};

}  // namespace mayfly::local
