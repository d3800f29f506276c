#pragma once
// Those who submit jobs, cancel them, and ask again with the same key when no answer came. They remember what they were
// told: the daemon is held to that.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/core.h"
#include "tests/simulation/recording_store.h"

namespace mayfly::sim {

class Clients {
 public:
  // `send` hands a request to the daemon that runs, or loses it when there is none; true: handed over.
  Clients(Land& land, RecordingStore& store, std::function<bool(std::function<void(Core&)>)> send)
      : land_(land), store_(store), send_(std::move(send)) {}

  void draw_requests(Duration within);  // a load, spread over the time given
  void draw_releases(Duration within);  // new versions, and what people do about rollouts
  void let_rollouts_go_on();

  void check_accepted() const;  // nothing that was promised is missing
  bool all_over() const;        // every job ever written has ended
  std::optional<std::string> unfinished() const;
  const std::set<JobId>& accepted() const { return accepted_; }

 private:
  struct Request {
    JobSpec spec;
    std::string key;
    bool answered = false;
    bool gives_up = false;
  };
  void submit(std::size_t request);
  void answered(std::size_t request, const Result<Job>& reply);
  void retry(std::size_t request);
  void cancel_one();
  void release_one();
  void order_one();
  void ask_around();
  JobSpec draw_spec();
  void draw_labels(JobSpec& spec);

  Land& land_;
  RecordingStore& store_;
  std::function<bool(std::function<void(Core&)>)> send_;
  std::vector<Request> requests_;
  std::set<JobId> accepted_;
  std::map<std::string, JobId> by_key_;
};

}  // namespace mayfly::sim
