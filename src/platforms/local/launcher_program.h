#pragma once
// The bytes of the launcher's program, built with this library and carried inside it.
#include <string_view>

namespace mayfly::local {
std::string_view launcher_program();
}
