#pragma once
// Who waits for a job's end, and for how long. One registration with control per job however many clients wait, so that
// clients that come and go leave nothing behind.
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>

#include "api/backend.h"
#include "net/notice.h"

namespace mayfly::api {

// Any thread.
class JobEnds {
 public:
  explicit JobEnds(Backend& backend) : backend_(backend) {}
  // Raised once the job has ended (or does not exist).
  std::shared_ptr<net::Notice> of(JobId id);

 private:
  struct Table {
    std::mutex mutex;
    std::map<JobId, std::shared_ptr<net::Notice>> waiting;
  };
  Backend& backend_;
  std::shared_ptr<Table> table_ = std::make_shared<Table>();  // control's answer may come after this is gone
};

// Calls functions at their time, on a thread of its own; they must be quick.
class Alarm {
 public:
  Alarm();
  ~Alarm();  // drops what is not due
  void at(std::chrono::steady_clock::time_point when, std::function<void()> f);

 private:
  void run();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::multimap<std::chrono::steady_clock::time_point, std::function<void()>> due_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mayfly::api
