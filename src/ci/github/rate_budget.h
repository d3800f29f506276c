#pragma once
// One budget of requests for everything that goes to one GitHub server with one credential: the hourly allowance as its
// headers tell it, and the pauses it asks for. Requests are paced, so that the allowance lasts until it is renewed
// instead of being gone in its first minutes. Pure but for its state; the caller holds the lock.
//
// Headers: X-RateLimit-Limit, -Remaining, -Reset (seconds since the epoch, by GitHub's clock), Retry-After (seconds);
// docs.github.com, "Rate limits for the REST API".
#include <map>
#include <optional>
#include <string>

#include "base/clock.h"

namespace mayfly::github {

enum class Urgency {
  routine,  // a look at the queue: may wait
  urgent,   // a builder waits for it, or a registration must go: may use what is kept back
};

class RateBudget {
 public:
  using Headers = std::map<std::string, std::string>;  // names in lower case

  // How long a request has to wait before it may go; 0: it may go now, and has been counted.
  Duration admit(Urgency urgency, Time now);
  // The wait that admit() would ask of a routine request, without counting one.
  Duration wait(Time now);
  // What an answer says. 304 costs nothing, so what was counted for it is given back. `throttled`: a 403 whose text
  // says that it is about a rate limit; other 403s are about rights and no reason to pause.
  void heard(int status, const Headers& headers, bool throttled, Time now);
  // GitHub's clock minus ours, by the last Date header.
  Duration skew() const { return skew_; }
  // Until when nothing may be sent, if so.
  std::optional<Time> paused_until(Time now) const;

 private:
  void refill(Time now);
  double rate(Time now) const;  // requests a second
  double burst(Time now) const;
  bool told(Time now) const { return remaining_ && now < reset_; }

  double tokens_ = least_burst;
  Time filled_{};
  std::optional<double> limit_, remaining_;
  Time reset_{};  // by our clock
  Time pause_{};
  int pauses_ = 0;  // in a row, without a Retry-After
  Duration skew_{};

  static constexpr double least_burst = 50;
};

// An HTTP date ("Sun, 06 Nov 1994 08:49:37 GMT"); none of any other form.
std::optional<Time> parse_http_date(const std::string& text);

}  // namespace mayfly::github
