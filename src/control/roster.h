#pragma once
// What the planner sees, kept up to date as jobs and builders come and go: gathering it anew for every step would cost
// more than planning does. Control's thread only.
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plan/plan.h"

namespace mayfly {

class Roster {
 public:
  // Index of the pool or platform of this name; added if it is new.
  plan::Index pool(const PoolName& name);
  plan::Index platform(const std::string& name);
  plan::PoolView& pool_view(const PoolName& name) { return seen_.pools[pool(name)]; }
  plan::PlatformView& platform_view(const std::string& name) { return seen_.platforms[platform(name)]; }
  // To be called when the pools have changed: which of them could take a job may have, too.
  void pools_changed();

  // They stay where they are until they are removed; jobs are added by id, builders by number.
  void add(const Job& job);
  void add(const Builder& builder);
  void remove(const Job& job);
  void remove(const Builder& builder);
  // After the job got a builder, began to run or went back to the queue: its time limit counts from `since` on.
  void moved(const Job& job, Time since = {});
  // Its time to get ready counts from `since` on.
  void moved(const Builder& builder, Time since);
  // The wall clock was put on (or back): what has been going on since then has not become longer by that.
  void shift(Duration by);

  const plan::Seen& look(bool shutting_down);
  const plan::Seen& seen() const { return seen_; }
  // The pool in whose queue a job is: its own, or the first of those that could take it; nowhere: there is none.
  plan::Index queue_of(const Job& job);

 private:
  // What a pool must have for a job.
  struct Need {
    PoolName pool;
    std::vector<std::string> labels, secrets;
    std::optional<Duration> timeout;
    auto operator<=>(const Need&) const = default;
  };
  using LineKey = std::pair<plan::Index, std::string>;  // demand and submitter
  struct Counted {
    plan::Index index = 0;
    int users = 0;
  };
  static Need need_of(const JobSpec& spec);
  static JobSpec spec_of(const Need& need);
  plan::JobView& view_of(const Job& job);
  plan::BuilderView& view_of(const Builder& builder);

  plan::Seen seen_;
  std::map<std::string, plan::Index, std::less<>> pools_, platforms_;
  std::map<Need, Counted> demands_;
  std::map<LineKey, Counted> lines_;
  std::vector<plan::Index> free_demands_, free_lines_;
  std::uint64_t served_ = 0;
  bool jobs_left_ = false, builders_left_ = false;  // since the last look: their places are still to be closed
};

}  // namespace mayfly
