#pragma once
// The configuration as plain facts: keys as they are written in mayfly.yaml, values as people write them. What differs
// between two configurations, and whether two are the same, is told by comparing these. Pure.
#include <string>
#include <vector>

#include "model/pool.h"

namespace mayfly::plan {

struct Fact {
  std::string key, value;  // "builders.max", "10"
  bool operator==(const Fact&) const = default;
};

// Each in the order in which a person would look for them; keys are unique within a list. A key that the configuration
// has and these leave out would be changed unseen: src/app/config_facts_test.cc goes through all of them.
std::vector<Fact> facts_of(const PoolSpec& pool);
std::vector<Fact> facts_of(const ImageSpec& image);
std::vector<Fact> facts_of(const SecretSpec& secret);
std::vector<Fact> facts_of_daemon(const Config& config);  // what belongs to no pool, image or secret

// 16 hexadecimal digits that differ where any fact does. No protection against people who want them to be the same.
std::string fingerprint(const Config& config);

// 12 digits of all that is fixed in a builder when it starts: platform, limits, network, and the image with its recipe.
// Two pools of the same shape could exchange their builders.
std::string shape_of(const Config& config, const PoolSpec& pool);

}  // namespace mayfly::plan
