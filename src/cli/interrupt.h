#pragma once
// Ctrl-C and SIGTERM as a number that a loop can look at and a descriptor that poll() can wait for.
namespace mayfly {

// While one exists, SIGINT and SIGTERM are counted instead of ending the program, and SIGPIPE is ignored. At most one
// at a time: signal handlers belong to the process. Handlers rather than blocked signals, because children inherit what
// is blocked, and a builder that never sees SIGTERM could not be cancelled gently.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  int fd() const;     // readable when there was one since the last taken()
  int taken() const;  // how many there have been so far; empties the descriptor
  // Sleeps, but not beyond an interrupt.
  void sleep(int milliseconds) const;

 private:
  struct Saved;
  Saved* saved_;
};

}  // namespace mayfly
