#pragma once
// Notifications that did not arrive: GitHub does not send a failed delivery again by itself, but does when asked, for
// three days. Only for an App, whose deliveries it may list.
#include <map>
#include <string>

#include "ci/github/api.h"

namespace mayfly::github {

class Redelivery {
 public:
  Redelivery(std::shared_ptr<Api> api, const Clock& clock) : api_(std::move(api)), clock_(clock) {}

  // Once a minute at most: asks for every delivery of `workflow_job` that failed and was not tried again with success.
  // Gives how many it asked for. Jobs are found without it, by looking; a failure here is no more than a delay.
  Result<int> sweep(Deadline deadline);

 private:
  const std::shared_ptr<Api> api_;
  const Clock& clock_;
  Time next_{};
  std::map<std::string, int> asked_;  // by guid: how often
};

// Ids of the deliveries to ask for: of each guid without any success, the latest try.
std::map<std::string, std::int64_t> failed_deliveries(const std::vector<Delivery>& all);

}  // namespace mayfly::github
