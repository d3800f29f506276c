#pragma once
// A traced process that runs ahead of its order for as long as nothing that it does can be noticed: it loads its
// libraries, reads its files, asks the processor what it is. It is held at its first act, the first system call that is
// not known to leave everything outside its own memory as it was.
#include <sys/types.h>

namespace mayfly::agent {

class Tracee {
 public:
  // Of a process that traces itself and has stopped at its exec.
  explicit Tracee(pid_t pid);
  pid_t pid() const { return pid_; }
  // What waitpid() said of it. False: it is gone.
  bool changed(int status);
  // It goes on by itself, untraced. False: it is gone.
  bool release();

 private:
  void go_on();
  void hold(int signal);

  pid_t pid_;
  bool held_ = false;
  int signal_ = 0;  // that it was about to get when it was held
  int stops_ = 0;
};

}  // namespace mayfly::agent
