#pragma once
// One seed: a world, a daemon in it that is killed and started again, clients, and everything going wrong for a while.
// Then the world heals, and all of it must come to its end.
#include <cstdint>
#include <string>
#include <vector>

#include "tests/simulation/mutation.h"

namespace mayfly::sim {

struct Order {
  std::uint64_t seed = 1;
  Mutation mutation = Mutation::none;
  bool loud = false;  // every event to stdout as it happens
};

struct Outcome {
  bool ok = true;
  std::string invariant, what;  // what does not hold
  std::uint64_t steps = 0, events = 0, hash = 0, jobs = 0, kills = 0;
  std::vector<std::string> last;  // events
};

// Deterministic: the same order gives the same outcome, hash included.
Outcome simulate(const Order& order);

// What a person needs to go on with a seed that failed.
std::string report(const Order& order, const Outcome& outcome);

}  // namespace mayfly::sim
