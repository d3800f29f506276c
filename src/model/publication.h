#pragma once
// Where a version of an image stands in one registry. Values only; no I/O.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/version.h"

namespace mayfly {

// pending → published, or failed and tried again until it is published.
enum class PublicationState {
  pending,    // never tried, or under way
  published,  // the registry has answered with the digest for the version's tag
  failed,     // the last try failed; see problem and next_try
};
std::string_view to_string(PublicationState s);
std::optional<PublicationState> publication_state_from(std::string_view name);

struct Publication {
  std::string image;
  SemVer number;
  std::string repository;  // "registry.example:5000/team/general"
  PublicationState state = PublicationState::pending;
  std::vector<std::string> channels;  // tags that were last led to this version there
  std::string problem;                // why the last try failed
  int attempts = 0;                   // failed ones in a row
  Time next_try{}, published_at{};

  bool operator==(const Publication&) const = default;
};

// How long to wait after so many failures in a row: 1 s, doubling, at most 10 minutes. A registry that is away for a
// night is tried every ten minutes; nobody has to remember to.
Duration publication_backoff(int attempts);

}  // namespace mayfly
