#pragma once
// Tells another system, by HTTP, how a build of an image stands. Blocking; from worker threads, several at once.
#include <string>

#include "base/result.h"
#include "model/pool.h"

namespace mayfly {

struct Report {
  ReportSpec to;
  std::string event;     // "image-build"
  std::string delivery;  // the same for every try of one report, so that the receiver can tell a repetition
  std::string body;      // JSON
};

class Reporter {
 public:
  virtual ~Reporter() = default;
  // Within `to.timeout`. unavailable, timeout: trying again may help; any other error: it will not.
  virtual Result<void> tell(const Report& report) = 0;
};

}  // namespace mayfly
