#include "net/notice.h"

namespace mayfly::net {

void Notice::raise() {
  std::map<std::uint64_t, std::function<void()>> watchers;
  {
    std::lock_guard lock(mutex_);
    raised_ = true;
    watchers.swap(watchers_);
  }
  for (auto& [id, f] : watchers) f();
}

bool Notice::raised() const {
  std::lock_guard lock(mutex_);
  return raised_;
}

std::uint64_t Notice::watch(std::function<void()> f) {
  {
    std::lock_guard lock(mutex_);
    if (!raised_) {
      watchers_.emplace(next_, std::move(f));
      return next_++;
    }
  }
  f();
  return 0;
}

void Notice::unwatch(std::uint64_t id) {
  std::lock_guard lock(mutex_);
  watchers_.erase(id);
}

}  // namespace mayfly::net
