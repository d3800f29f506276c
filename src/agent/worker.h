#pragma once
// A helper process for work that may take long and handles what the job made: it runs as the job's user, so the kernel
// keeps it to what the job itself may do, and the agent's loop goes on meanwhile.
#include <sys/types.h>

#include <functional>
#include <string>

#include "agent/user.h"
#include "base/fd.h"
#include "base/result.h"

namespace mayfly::agent {

class Worker {
 public:
  static Result<Worker> start(const User& user, const std::function<Result<void>()>& work);
  pid_t pid() const { return pid_; }
  void kill() const;
  // What came of it, given its wait status: nothing, or what went wrong as text.
  Result<void> outcome(int status);

 private:
  pid_t pid_ = -1;
  Fd report_;
};

}  // namespace mayfly::agent
