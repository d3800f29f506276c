#pragma once
// Tells others how each build stands: one message for each change of its status. What is owed is in the build's own
// record, written in the same commit as the state that it tells of; so a
// restarted daemon tells what the last one did not. A status that is overtaken before it could be told is not told any
// more; how a build ended always is. Control's thread only.
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/log.h"
#include "model/image_build.h"
#include "model/pool.h"
#include "ports/ci.h"
#include "ports/reporter.h"

namespace mayfly {

class BuildReports {
 public:
  struct Parts {
    const Clock& clock;
    const Log& log;
    std::string ImageBuild::* owed;                    // where the record says what is owed
    const char *told, *failed;                         // of the ledger's entries
    std::function<bool(const ImageBuild&)> wanted;     // somebody is to be told of it
    std::function<Result<ImageBuild>(BuildId)> build;  // as it is recorded
    // Writes it down, with an entry of the ledger; false: it cannot for now.
    std::function<bool(ImageBuild, const char* kind, std::string detail)> write;
    // Tells on a worker how the build stands, and calls back on this thread.
    std::function<void(const ImageBuild&, const std::string& status, std::function<void(Result<void>)>)> tell;
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

// What `report:` sends. `image`: null where the configuration has it no more.
Report report_of(const ImageBuild& build, const std::string& status, const ImageSpec* image, const ReportSpec& to);
// What the Git host shows at the commit.
CommitStatus commit_status_of(const ImageBuild& build, const std::string& status, const std::string& repository);

}  // namespace mayfly
