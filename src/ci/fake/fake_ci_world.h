#pragma once
// A CI system that exists only as values: its queue, its registrations and what they took. It outlives the FakeCi that
// talks to it, so that a test can throw a daemon away and let the next one find what the first left behind. Any thread.
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "ports/ci.h"

namespace mayfly {

// What goes wrong with the next calls.
enum class FakeCiFault {
  none,
  unavailable,  // an error, and nothing has happened
  reply_lost,   // it has happened, and the answer is an error all the same
  throttled,    // as unavailable, but observe() says when to come again
  denied,
};

class FakeCiWorld {
 public:
  // The CI's side.
  void queue(CiJob job);
  // The registration takes the pending job; false where either is not there or the registration has had one.
  bool take(const std::string& runner, const std::string& job);
  // … takes the first pending job whatever it was made for; empty: there was none.
  std::string take_any(const std::string& runner);
  void end(const std::string& job, CiOutcome outcome, Time at);
  void vanish(const std::string& job);
  void break_with(FakeCiFault fault, int calls = 1 << 30) { set_fault(fault, calls); }
  void break_mint_with(FakeCiFault fault, int calls = 1 << 30);  // that call alone
  void say_offline(bool offline);                                // of every registration: its agent is not connected
  void hide_rest_after(std::size_t jobs);  // observe() is not whole: only so many of the jobs are in it

  std::optional<CiJob> job(const std::string& id) const;
  std::vector<CiRegistration> registrations() const;
  std::size_t most_jobs_of_a_registration() const;
  std::size_t registered() const;  // ever
  std::vector<std::string> cancelled() const;

  // FakeCi's side.
  Result<CiSight> observe();
  Result<CiCredential> mint(const std::string& name, const CiJob& job);
  Result<std::optional<CiJob>> taken(const std::string& name);
  Result<void> forget(const std::string& name);
  Result<std::vector<CiRegistration>> list(const std::string& prefix);
  Result<void> cancel(const std::string& job);

 private:
  struct Registered {
    std::string id;
    std::vector<std::string> jobs;  // that it took
  };
  void set_fault(FakeCiFault fault, int calls);
  // The fault of this call, used up.
  FakeCiFault fault();
  FakeCiFault fault_of_mint();
  static Error error_of(FakeCiFault fault);
  bool give(Registered& r, const std::string& runner, CiJob& job);

  mutable std::mutex mutex_;
  std::vector<CiJob> jobs_;  // in the order in which they came
  std::map<std::string, Registered> registered_;
  std::map<std::string, std::string> history_;  // runner → job, while the CI remembers
  std::vector<std::string> cancelled_;
  FakeCiFault fault_ = FakeCiFault::none;
  FakeCiFault mint_fault_ = FakeCiFault::none;
  int fault_calls_ = 0, mint_fault_calls_ = 0;
  std::size_t most_ = 0, next_ = 1;
  std::optional<std::size_t> shown_;
  bool offline_ = false;
};

}  // namespace mayfly
