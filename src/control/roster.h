#pragma once
// What the planner sees, kept up to date as jobs and builders come and go: gathering it anew for every step would cost
// more than planning does. Control's thread only.
#include <map>
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

  // They stay where they are until they are removed; jobs are added by id, builders by number.
  void add(const Job& job);
  void add(const Builder& builder);
  void remove(const Job& job);
  void remove(const Builder& builder);

  const plan::Seen& look(bool shutting_down);

 private:
  using LineKey = std::pair<plan::Index, std::string>;  // pool and submitter
  struct Line {
    plan::Index index = 0;
    int jobs = 0;
  };

  plan::Seen seen_;
  std::map<std::string, plan::Index, std::less<>> pools_, platforms_;
  std::map<LineKey, Line> lines_;
  std::vector<plan::Index> free_lines_;
  bool jobs_left_ = false, builders_left_ = false;  // since the last look: their places are still to be closed
};

}  // namespace mayfly
