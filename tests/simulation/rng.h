#pragma once
// Chance from one seed. Our own, since std's distributions differ between libraries and a seed must mean the same
// everywhere. Draw in statements of their own: the order in which a call's arguments are evaluated is nobody's promise.
#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace mayfly::sim {

class Rng {
 public:
  explicit Rng(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {  // splitmix64
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t n) { return n == 0 ? 0 : next() % n; }
  int between(int low, int high) { return low + static_cast<int>(below(static_cast<std::uint64_t>(high - low + 1))); }
  bool percent(int p) { return below(100) < static_cast<std::uint64_t>(p); }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  Duration upto(Duration d) {
    return Duration(static_cast<std::int64_t>(below(static_cast<std::uint64_t>(d.count()) + 1)));
  }
  // From `low` to `high`, every order of magnitude as likely as the others: most things are quick, some take for ever.
  Duration spread(Duration low, Duration high) {
    int doublings = 0;
    while (low * (1LL << doublings) < high) ++doublings;
    Duration base = low * (1LL << below(static_cast<std::uint64_t>(doublings) + 1));
    return std::min(high, base + upto(base));
  }
  template <class T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }

 private:
  std::uint64_t state_;
};

}  // namespace mayfly::sim
