#pragma once
// What the crash tests hold on to: with MAYFLY_STEP_LOG=FILE each step boundary of control is written there, a line
// each; with MAYFLY_CRASH_AT_STEP=N the daemon kills itself at the N-th. Without them: a function that does nothing.
#include <functional>
#include <string_view>

namespace mayfly {

std::function<void(std::string_view)> step_hook_from_environment();

}  // namespace mayfly
