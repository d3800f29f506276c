#pragma once
// Two guards against doing in vain what has just failed. Values; time is an argument.
#include <algorithm>
#include <set>
#include <string>

#include "base/clock.h"

namespace mayfly::plan {

// After `limit` failures in a row it is open: nothing is tried for a while, twice as long each time. Then one try at a
// time, until one succeeds. A breaker for more than one kind of thing opens only if several kinds failed: otherwise the
// fault is theirs.
class Breaker {
 public:
  explicit Breaker(int limit, std::size_t kinds = 1) : limit_(limit), needed_(kinds) {}

  void failed(Time now, const std::string& problem, const std::string& kind = {}) {
    ++failures_;
    if (kinds_.size() < needed_) kinds_.insert(kind);
    problem_ = problem;
    if (failures_ < limit_ || kinds_.size() < needed_ || now < until_) return;
    Duration rest = shortest * (1 << std::min(openings_++, 4));
    until_ = now + std::min<Duration>(rest, longest);
  }
  void succeeded() { *this = Breaker(limit_, needed_); }

  bool tripped() const { return openings_ > 0; }  // open, or letting one try through at a time
  bool open(Time now) const { return now < until_; }
  Time until() const { return until_; }
  int failures() const { return failures_; }
  const std::string& problem() const { return problem_; }
  void shift(Duration by) {  // the wall clock was put on or back
    if (tripped()) until_ += by;
  }

 private:
  static constexpr Duration shortest = std::chrono::seconds(30), longest = std::chrono::minutes(5);
  int limit_;
  std::size_t needed_;
  int failures_ = 0, openings_ = 0;
  std::set<std::string> kinds_;
  std::string problem_;
  Time until_{};
};

// A token bucket: as many launches at once as fit into a minute, and no more than that in each minute on average.
class RateBudget {
 public:
  explicit RateBudget(int per_minute) : per_minute_(per_minute), tokens_(per_minute) {}

  void refill(Duration steady) {
    if (steady > at_) tokens_ = std::min<double>(per_minute_, tokens_ + passed(steady));
    at_ = steady;
  }
  void take() { tokens_ -= 1; }
  int left() const { return std::max(0, static_cast<int>(tokens_ + 1e-9)); }
  // From the last refill until `n` more than are left may be taken; rounded up, so that waiting that long is enough.
  Duration wait(int n) const {
    double missing = std::max(0.0, left() + n - tokens_);
    return Duration(static_cast<std::int64_t>(missing / per_minute_ * 60e6) + 1);
  }
  int per_minute() const { return per_minute_; }

 private:
  double passed(Duration steady) const {
    return first() ? 0 : std::chrono::duration<double>(steady - at_).count() / 60 * per_minute_;
  }
  bool first() const { return at_ == Duration::min(); }
  int per_minute_;
  double tokens_;
  Duration at_ = Duration::min();
};

}  // namespace mayfly::plan
