#include "os/stop_signal.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace mayfly::os {

StopSignal::StopSignal() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) { MAYFLY_CHECK(event_.get() >= 0); }

void StopSignal::raise() {
  std::uint64_t one = 1;
  (void)!::write(event_.get(), &one, sizeof one);  // nobody reads it: it stays readable
}

bool StopSignal::wait(Duration limit) const {
  auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    auto left = std::chrono::ceil<milliseconds>(end - std::chrono::steady_clock::now()).count();
    pollfd event{event_.get(), POLLIN, 0};
    int ready = ::poll(&event, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (ready > 0) return true;
    if (ready == 0 || errno != EINTR) return false;
  }
}

}  // namespace mayfly::os
