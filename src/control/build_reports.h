#pragma once
// Tells whoever the configuration names how each build stands: one POST for each change of its status. What is owed is
// in the build's own record (ImageBuild::report), written in the same commit as the state that it tells of; so a
// restarted daemon tells what the last one did not. A status that is overtaken before it could be told is not told any
// more; how a build ended always is. Control's thread only.
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/log.h"
#include "model/image_build.h"
#include "model/pool.h"
#include "ports/reporter.h"

namespace mayfly {

class BuildReports {
 public:
  struct Parts {
    const Clock& clock;
    const Log& log;
    const Config& config;
    std::function<Result<ImageBuild>(BuildId)> build;  // as it is recorded
    // Writes it down, with an entry of the ledger; false: it cannot for now.
    std::function<bool(ImageBuild, const char* kind, std::string detail)> write;
    // Tells it on a worker, and calls back on this thread. Empty: nobody is told.
    std::function<void(Report, std::function<void(Result<void>)>)> tell;
  };
  explicit BuildReports(Parts parts) : parts_(std::move(parts)) {}

  // The status that `next` owes once it has followed `before` (null: it is new); empty: what it owed already.
  std::string owed(const ImageBuild* before, const ImageBuild& next) const;
  // The record says so now.
  void owe(BuildId id, const std::string& status);
  void tick();
  std::optional<Time> wake() const { return wake_; }

 private:
  struct Debt {
    std::string status;
    int failures = 0;
    bool busy = false;
    Time at{};  // of the next try
  };
  void tell(BuildId id, const std::string& status);
  void told(BuildId id, const std::string& status, const Result<void>& outcome);
  void settle(BuildId id, const std::string& status, const char* kind, const std::string& problem);

  Parts parts_;
  std::map<BuildId, Debt> debts_;
  std::optional<Time> wake_;
};

}  // namespace mayfly
