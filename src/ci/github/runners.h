#pragma once
// The runners registered at an organisation or a repository. Any thread.
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "ci/github/api.h"

namespace mayfly::github {

class Runners {
 public:
  Runners(std::shared_ptr<Api> api, Address address, std::string group)
      : api_(std::move(api)), address_(std::move(address)), group_(std::move(group)) {}

  // Registers a runner for one job. The name may be taken by what an earlier try left: that is removed first.
  Result<JitRunner> make(const std::string& name, const std::vector<std::string>& labels, Deadline deadline);
  // not_found where there is none.
  Result<Runner> by_name(const std::string& name, Deadline deadline);
  // True if there is none. conflict: it has a job.
  Result<void> remove(std::int64_t id, Deadline deadline);
  Result<std::vector<Runner>> with_prefix(const std::string& prefix, Deadline deadline);

 private:
  Result<std::int64_t> group(Deadline deadline);

  const std::shared_ptr<Api> api_;
  const Address address_;
  const std::string group_;
  std::mutex mutex_;
  std::int64_t group_id_ = 0;  // once found
};

}  // namespace mayfly::github
