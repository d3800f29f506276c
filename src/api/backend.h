#pragma once
// What the API needs of control, so that its tests need no control loop. Same words, same rules (control/control.h):
// any thread, returns at once, calls back once on a thread of the backend's.
#include <functional>
#include <string>
#include <vector>

#include "control/control.h"

namespace mayfly::api {

class Backend {
 public:
  template <class T>
  using Done = std::function<void(Result<T>)>;

  virtual ~Backend() = default;
  virtual void submit(JobSpec spec, std::string idempotency_key, Done<Job> done) = 0;
  virtual void cancel(JobId id, std::string who, Done<Job> done) = 0;
  virtual void job(JobId id, Done<Job> done) = 0;
  virtual void jobs(JobFilter filter, Done<std::vector<Job>> done) = 0;
  virtual void builders(bool gone_too, Done<std::vector<Builder>> done) = 0;
  virtual void status(Done<Status> done) = 0;
  virtual void explain(JobId id, Done<Explanation> done) = 0;
  virtual void release(ReleaseRequest request, std::string who, Done<ImageVersion> done) = 0;
  virtual void images(Done<std::vector<ImageStatus>> done) = 0;
  virtual void image(std::string name, Done<ImageStatus> done) = 0;
  virtual void rollback_image(std::string name, std::optional<SemVer> to, std::string who, Done<ImageStatus> done) = 0;
  virtual void ledger(std::uint64_t from, std::size_t limit, std::string subject,
                      Done<std::vector<LedgerEntry>> done) = 0;
  virtual void verify_ledger(Done<LedgerCheck> done) = 0;
  virtual void when_ended(JobId id, Done<Job> done) = 0;
};

}  // namespace mayfly::api
