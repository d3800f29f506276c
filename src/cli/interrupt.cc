#include "cli/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/result.h"

namespace mayfly {
namespace {

// All that a handler can reach is global.
std::atomic<int> interrupts{0};
std::atomic<int> wake_write{-1};

void on_signal(int) {
  int saved = errno;
  interrupts.fetch_add(1);
  if (int fd = wake_write.load(); fd >= 0) [[maybe_unused]]
    auto n = ::write(fd, "!", 1);
  errno = saved;
}

}  // namespace

struct Interrupts::Saved {
  int pipe[2] = {-1, -1};
  struct sigaction interrupt = {}, terminate = {}, broken_pipe = {};
};

Interrupts::Interrupts() : saved_(new Saved) {
  MAYFLY_CHECK(wake_write.load() == -1);
  MAYFLY_CHECK(::pipe2(saved_->pipe, O_CLOEXEC | O_NONBLOCK) == 0);
  interrupts = 0;
  wake_write = saved_->pipe[1];
  struct sigaction action{};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, &saved_->interrupt);
  ::sigaction(SIGTERM, &action, &saved_->terminate);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, &saved_->broken_pipe);
}

Interrupts::~Interrupts() {
  ::sigaction(SIGINT, &saved_->interrupt, nullptr);
  ::sigaction(SIGTERM, &saved_->terminate, nullptr);
  ::sigaction(SIGPIPE, &saved_->broken_pipe, nullptr);
  wake_write = -1;
  ::close(saved_->pipe[0]);
  ::close(saved_->pipe[1]);
  delete saved_;
}

int Interrupts::fd() const { return saved_->pipe[0]; }

int Interrupts::taken() const {
  char bytes[64];
  while (::read(saved_->pipe[0], bytes, sizeof bytes) > 0) {
  }
  return interrupts.load();
}

void Interrupts::sleep(int milliseconds) const {
  pollfd p{saved_->pipe[0], POLLIN, 0};
  ::poll(&p, 1, milliseconds);
}

}  // namespace mayfly
