#pragma once
// Which of a CI's pending jobs need a job of ours, and which of ours nothing in the CI waits for any more. Pure.
//
// A runner takes any job that fits, so ours and the CI's are no pairs: what counts is that there are as many of ours
// under way as jobs are pending there. Each of ours names one all the same, for people and so that none is counted
// twice; when its job was taken by another runner it names one that has none.
#include <string>
#include <utility>
#include <vector>

#include "model/job.h"

namespace mayfly::plan {

// A job of ours whose runner has not taken one yet.
struct CiHeld {
  JobId job = 0;
  std::string id;  // the CI's job that it names
  Time told{};     // when the CI was last heard to have that pending
};

struct CiQueue {
  std::vector<std::string> pending;  // in the order in which they should be served
  std::vector<std::string> over;     // seen, and not pending: taken or ended
  bool whole = true;                 // what is in neither has vanished
  Time asked_at{};                   // the CI may not have known what it was told after this
};

struct CiMatch {
  std::vector<std::string> create;                     // pending, and nobody's
  std::vector<std::pair<JobId, std::string>> renamed;  // ours that name another one from now on
  std::vector<JobId> surplus;                          // ours that nothing waits for
};

CiMatch match_ci(const CiQueue& queue, const std::vector<CiHeld>& held);

}  // namespace mayfly::plan
