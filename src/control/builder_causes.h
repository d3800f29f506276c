#pragma once
// How the causes begin with which builders are stopped, where something is to be learned from them after a restart.
#include <string_view>

namespace mayfly::causes {

inline constexpr std::string_view not_started = "it could not be started: ";
inline constexpr std::string_view went_away = "its agent went away: ";
inline constexpr std::string_view refused = "it refused its job: ";
inline constexpr std::string_view job_ended = "its job ended";

}  // namespace mayfly::causes
