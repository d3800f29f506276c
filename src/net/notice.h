#pragma once
// "It has happened": raised once, from any thread, seen by everybody who asks or waits. Followers of a job's log learn
// by one that the job has ended.
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>

namespace mayfly::net {

class Notice {
 public:
  void raise();
  bool raised() const;
  // Called once when it is raised, on the raiser's thread, or at once if it was. 0 if it was called at once.
  std::uint64_t watch(std::function<void()> f);
  void unwatch(std::uint64_t id);

 private:
  mutable std::mutex mutex_;
  bool raised_ = false;
  std::uint64_t next_ = 1;
  std::map<std::uint64_t, std::function<void()>> watchers_;
};

}  // namespace mayfly::net
