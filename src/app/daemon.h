#pragma once
// One daemon on one state directory: the parts of the catalogue wired together, started and stopped in order.
#include <functional>
#include <memory>
#include <string>

#include "app/catalog.h"
#include "base/log.h"
#include "base/result.h"
#include "model/pool.h"
#include "model/state_paths.h"

namespace mayfly {

enum class OnStop {
  keep_running_jobs,  // idle builders go; running jobs go on in theirs, and the next daemon adopts them
  stop_everything,    // every builder is stopped; running jobs are lost
};

class Daemon {
 public:
  // `config_file`: absolute path of where `config` was read, for reading it again; empty: there is none. `log` outlives
  // the daemon. `on_drained` is called, from any thread, when somebody had it drained and no job runs any more.
  // conflict: another daemon has this state directory.
  static Result<std::unique_ptr<Daemon>> start(Config config, const std::string& config_file,
                                               const std::string& state_directory, StateLife life, const Log& log,
                                               std::function<void()> on_drained = {});
  ~Daemon();  // as stop(keep_running_jobs)

  // Reads its file again and applies it, as `mayfly apply` without a file does. What came of it is logged.
  void reload();
  void stop(OnStop how);
  const StatePaths& paths() const;
  std::string listening() const;  // "unix:///…" and, where configured, "https://…"; for people

 private:
  struct Parts;
  explicit Daemon(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// Where a daemon of this user keeps its state unless told otherwise.
std::string default_state_directory();

}  // namespace mayfly
