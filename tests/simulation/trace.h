#pragma once
// What happened in a simulation: the last events in words, and a hash over all of them. Two runs of a seed that differ
// in anything differ in the hash.
#include <cstdint>
#include <deque>
#include <string>

#include <fmt/format.h>

#include "base/clock.h"

namespace mayfly::sim {

// An invariant that does not hold. Thrown out of wherever it was seen; it ends the seed.
struct Violation {
  std::string invariant;
  std::string what;
};

[[noreturn]] inline void broken(std::string invariant, std::string what) {
  throw Violation{std::move(invariant), std::move(what)};
}

class Trace {
 public:
  explicit Trace(bool loud) : loud_(loud) {}
  template <class... A>
  void add(Time at, fmt::format_string<A...> f, A&&... a) {
    put(fmt::format("{:>12.6f} ", static_cast<double>(to_micros(at) - 1'000'000'000) / 1e6) +
        fmt::format(f, std::forward<A>(a)...));
  }
  std::uint64_t hash() const { return hash_; }
  std::uint64_t events() const { return events_; }
  const std::deque<std::string>& last() const { return last_; }

 private:
  static constexpr std::size_t kept = 40;
  void put(std::string line) {
    for (unsigned char c : line) hash_ = (hash_ ^ c) * 1099511628211ULL;
    ++events_;
    if (loud_) fmt::print("{}\n", line);
    last_.push_back(std::move(line));
    if (last_.size() > kept) last_.pop_front();
  }
  bool loud_;
  std::uint64_t hash_ = 14695981039346656037ULL, events_ = 0;
  std::deque<std::string> last_;
};

}  // namespace mayfly::sim
