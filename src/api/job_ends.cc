#include "api/job_ends.h"

namespace mayfly::api {

std::shared_ptr<net::Notice> JobEnds::of(JobId id) {
  std::shared_ptr<net::Notice> notice;
  {
    std::lock_guard lock(table_->mutex);
    auto& entry = table_->waiting[id];
    if (entry) return entry;
    notice = entry = std::make_shared<net::Notice>();
  }
  backend_.when_ended(id, [id, notice, table = table_](Result<Job>) {
    {
      std::lock_guard lock(table->mutex);
      table->waiting.erase(id);
    }
    notice->raise();
  });
  return notice;
}

Alarm::Alarm() : thread_([this] { run(); }) {}

Alarm::~Alarm() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Alarm::at(std::chrono::steady_clock::time_point when, std::function<void()> f) {
  {
    std::lock_guard lock(mutex_);
    due_.emplace(when, std::move(f));
  }
  changed_.notify_one();
}

void Alarm::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (due_.empty()) {
      changed_.wait(lock);
    } else if (auto first = due_.begin(); first->first > std::chrono::steady_clock::now()) {
      auto when = first->first;
      changed_.wait_until(lock, when);
    } else {
      auto f = std::move(first->second);
      due_.erase(first);
      lock.unlock();
      f();
      lock.lock();
    }
  }
}

}  // namespace mayfly::api
