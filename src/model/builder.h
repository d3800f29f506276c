#pragma once
// A builder: one container. Runs at most one job, then is gone. Values and their state machine; no I/O.
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "model/job.h"

namespace mayfly {

enum class BuilderState { requested, starting, ready, busy, stopping, gone, lost };
std::string_view to_string(BuilderState s);
std::optional<BuilderState> builder_state_from(std::string_view name);
bool may_follow(BuilderState from, BuilderState to);
inline bool is_final(BuilderState s) { return s == BuilderState::gone || s == BuilderState::lost; }

// The number at the end of "<pool>-<number>"; 0 where there is none.
inline std::uint64_t builder_number(std::string_view id) {
  auto digits = id.substr(id.rfind('-') + 1);  // npos + 1 is 0: the whole id
  std::uint64_t number = 0;
  auto [end, ec] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  bool whole = ec == std::errc() && end == digits.data() + digits.size();
  return whole && number <= INT64_MAX ? number : 0;
}

struct Builder {
  BuilderId id;
  PoolName pool;
  std::string platform;
  std::string image;          // the reference as configured
  std::string image_digest;   // what it resolved to: sha256:…
  std::string image_version;  // "general@2.4.1", where it is a released version
  std::string shape;          // of its pool when it was started (plan/config_facts.h): another now, and it is replaced
  BuilderState state = BuilderState::requested;
  JobId job = 0;      // 0: none yet. Set once, never changed: a builder runs at most one job, ever
  std::string cause;  // why it is stopping, gone or lost; one sentence
  bool warm = false;  // started ahead of a job
  Time requested_at{}, ready_at{}, stopping_at{}, gone_at{};
};

}  // namespace mayfly
