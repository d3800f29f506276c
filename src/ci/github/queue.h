#pragma once
// The jobs of one organisation or repository that any of our pools may serve. One look serves all pools of an address:
// GitHub has no queue of its own that could be read, so a look goes through the unfinished runs of every repository.
// What webhooks say is kept beside it, never instead of it. Any thread.
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ci/github/api.h"

namespace mayfly::github {

struct Look {
  std::uint64_t number = 0;  // 1, 2, 3, …
  bool whole = true;         // every queued job was seen
  Time at{};
};

class Queue {
 public:
  // `repositories` ("owner/name"): only these of an organisation; empty: all that the credential may see.
  Queue(std::shared_ptr<Api> api, Address address, std::vector<std::string> repositories, const Clock& clock);

  // Jobs that none of these label sets serves are passed over.
  void serve(std::vector<std::string> runner_labels);

  // Looks, unless another pool did so a moment ago and the caller (`seen`: the number that it was given last) does not
  // know that look yet. Not whole: the deadline or the rate limit came first; the next look begins where this one
  // ended.
  Result<Look> look(std::uint64_t seen, Deadline deadline);

  // The jobs known, for runners with these labels; ended ones for some minutes only.
  std::vector<WorkflowJob> jobs(const std::vector<std::string>& runner_labels) const;

  // The job that the runner of this name has or had. `search`: look for it in runs that ended meanwhile, too.
  Result<std::optional<WorkflowJob>> taken_by(const std::string& runner, bool search, Deadline deadline);

  // A webhook's word. Never takes a job back to an earlier state; gives the job as it is known now, if it is for any of
  // our pools.
  std::optional<WorkflowJob> heard(const WorkflowJob& job);

  const Address& address() const { return address_; }

 private:
  struct Known {
    WorkflowJob job;
    std::uint64_t look = 0;  // that saw it last
    Time at{};               // when it was last heard of
    Time since{};            // when its status was last heard to change
  };
  Result<std::vector<std::string>> repositories(Deadline deadline);
  Result<bool> look_at(const std::string& repository, std::uint64_t number, Deadline deadline);
  Result<bool> look_at_run(const std::string& repository, std::int64_t run, std::uint64_t number, Deadline deadline);
  Result<void> ask_after_unseen(std::uint64_t number, Deadline deadline);
  Result<void> ask_after(const WorkflowJob& job, std::uint64_t number, Deadline deadline);
  Result<void> search(const std::string& repository, const std::string& runner, Deadline deadline);
  std::optional<WorkflowJob> known_by_runner(const std::string& runner) const;
  void note(const WorkflowJob& job, std::uint64_t number);
  void forget_old();

  const std::shared_ptr<Api> api_;
  const Address address_;
  const std::vector<std::string> only_;
  const Clock& clock_;

  std::timed_mutex looking_;  // held during a look; what follows belongs to it
  std::vector<std::string> repositories_;
  Time repositories_at_{};
  std::size_t next_repository_ = 0;
  Look last_;

  mutable std::mutex mutex_;  // what follows; never held during a request
  std::vector<std::vector<std::string>> served_;
  std::map<std::int64_t, Known> jobs_;
  std::map<std::string, std::int64_t> by_runner_;
};

}  // namespace mayfly::github
