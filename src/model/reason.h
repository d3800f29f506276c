#pragma once
// Why something waits: one code for programs, one sentence for people, since when and, where it can be known, until
// when.
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"

namespace mayfly {

enum class ReasonCode {
  none,
  submitted,             // just arrived, not planned yet
  builder_starting,      // a builder for it is being started
  behind_others,         // builders are starting, but jobs ahead of it will take them
  pool_at_max,           // the pool's `max` builders all exist and are busy
  launch_limit,          // the platform starts only so many at a time
  image_resolving,       // the image is being fetched or resolved for the first time
  image_unavailable,     // the image cannot be had for now; tried again
  platform_unavailable,  // the platform does not answer or refuses; tried again
  start_backoff,         // starts failed; waiting before the next try
  ci_unavailable,        // its CI system gives no credential for a builder for now; tried again
  disk_full,             // the state directory's disk is full
  pool_removed,          // its pool is no longer in the configuration
  version_missing,       // no version of its pool's image was released that fits
  shutting_down,         // the daemon is stopping; the job stays queued for its next start
  no_pool,               // no pool has the labels that it asks for
  platform_at_max,       // the platform's `max` builders all exist
  rate_limited,          // the platform's launches per minute are used up
  breaker_open,          // starts of this version failed again and again; tried again later
  quarantined,           // builders of this version, or all on this platform, kept dying; tried again later
};
std::string_view to_string(ReasonCode c);
std::optional<ReasonCode> reason_code_from(std::string_view name);

struct Reason {
  ReasonCode code = ReasonCode::none;
  std::string text;
  Time since{};
  std::optional<Time> until;

  bool operator==(const Reason&) const = default;
};

}  // namespace mayfly
