#pragma once
// Tells calls that block to give up: raised once, for good. Any thread.
#include "base/clock.h"
#include "os/file.h"

namespace mayfly::os {

class StopSignal {
 public:
  StopSignal();
  void raise();
  bool raised() const { return wait(Duration(0)); }
  // Sleeps for so long, or until it is raised; gives whether it is.
  bool wait(Duration limit) const;
  int fd() const { return event_.get(); }  // readable once it is raised

 private:
  Fd event_;
};

}  // namespace mayfly::os
