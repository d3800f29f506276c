#include "model/rollout.h"

#include <array>
#include <utility>

namespace mayfly {
namespace {
constexpr std::array<std::pair<RolloutState, std::string_view>, 6> names{{{RolloutState::canary, "canary"},
                                                                          {RolloutState::warming, "warming"},
                                                                          {RolloutState::watching, "watching"},
                                                                          {RolloutState::promoted, "promoted"},
                                                                          {RolloutState::rolled_back, "rolled_back"},
                                                                          {RolloutState::superseded, "superseded"}}};

// Not the image's fault: what was uploaded with the job, a secret, and whatever ended it before it had a builder.
bool blames_image(JobCause c) {
  return c != JobCause::input_failed && c != JobCause::secret_unavailable && c != JobCause::image_unavailable &&
         c != JobCause::start_failed;
}
}  // namespace

std::string_view to_string(RolloutState s) {
  for (const auto& [state, name] : names)
    if (state == s) return name;
  return "?";
}

std::optional<RolloutState> rollout_state_from(std::string_view name) {
  for (const auto& [state, n] : names)
    if (n == name) return state;
  return std::nullopt;
}

std::optional<bool> counts_as_failure(const Job& j) {
  switch (j.state) {
    case JobState::succeeded:
      return false;
    case JobState::failed:
      return blames_image(j.result.cause) ? std::optional(true) : std::nullopt;
    case JobState::timed_out:
      return true;
    case JobState::lost:
      // An image whose init dies loses its builders. Without a builder no version was at work.
      return j.result.cause == JobCause::builder_lost ? std::optional(true) : std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace mayfly
