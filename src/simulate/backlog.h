#pragma once
// Jobs that were submitted and that control need not see yet. Of one demand, jobs of one submitter and priority
// are served in order, and one plan hands out at most as many jobs as its pools may have builders. So where pools serve
// one demand of one submitter, control is shown that many of each such line, and decides the same as if it saw all of
// them. Where submitters or demands share a pool they take turns, and a tie goes to the lower number, which a job gets
// when it is shown: there control sees tens of thousands, and only in a longer queue may a tie go the other way.
#include <cstdint>
#include <deque>
#include <map>
#include <tuple>
#include <vector>

#include "model/job.h"
#include "simulate/workload.h"

namespace mayfly::simulate {

class Backlog {
 public:
  struct Line {
    std::deque<std::uint32_t> hidden;  // indices of jobs
    std::size_t shown = 0;             // queued with control
    std::size_t window = 0;
    JobId last = 0;  // the last one shown
  };

  // `windows`: by the workload's demands.
  Backlog(const Workload& workload, std::vector<std::size_t> windows)
      : workload_(workload), windows_(std::move(windows)) {}

  Line& line(std::uint32_t job) {
    const Arrival& a = workload_.jobs[job];
    auto [found, added] = lines_.try_emplace({a.demand, a.submitter, a.priority});
    if (added) found->second.window = windows_[a.demand];
    return found->second;
  }
  // Whether it is to be shown at once; otherwise it is kept.
  bool arrived(std::uint32_t job) {
    Line& l = line(job);
    if (l.shown < l.window) return ++l.shown, true;
    l.hidden.push_back(job);
    ++hidden_;
    return false;
  }
  // A job of this line was handed out: the one to show in its place, if there is one.
  bool handed_out(std::uint32_t job, std::uint32_t& next) {
    Line& l = line(job);
    --l.shown;
    if (l.hidden.empty()) return false;
    next = l.hidden.front();
    l.hidden.pop_front();
    --hidden_;
    ++l.shown;
    return true;
  }
  std::size_t hidden() const { return hidden_; }
  template <class F>
  void each_line(F f) const {
    for (const auto& [key, l] : lines_) f(l);
  }

 private:
  const Workload& workload_;
  std::vector<std::size_t> windows_;
  std::map<std::tuple<std::uint32_t, std::uint32_t, int>, Line> lines_;
  std::size_t hidden_ = 0;
};

}  // namespace mayfly::simulate
