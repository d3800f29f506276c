#pragma once
// Who waits for a job's end: one subscription with the backend a job, however many clients follow, wait, break off and
// come back. Only from the server's thread.
#include <map>
#include <memory>
#include <mutex>
#include <optional>

#include "api/backend.h"
#include "net/notice.h"

namespace mayfly::api {

struct Ending {
  net::Notice notice;
  std::optional<Result<Job>> result;  // set before the notice is raised, never changed after
};

class Endings : public std::enable_shared_from_this<Endings> {
 public:
  explicit Endings(Backend& backend) : backend_(backend) {}
  std::shared_ptr<Ending> of(JobId id);

 private:
  Backend& backend_;
  std::map<JobId, std::shared_ptr<Ending>> endings_;
};

}  // namespace mayfly::api
