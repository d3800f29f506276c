#pragma once
// The static agent as bytes inside this program, for whoever launches builders to write out.
#include <string_view>

extern "C" const char mayfly_embedded_agent_begin[];
extern "C" const char mayfly_embedded_agent_end[];

namespace mayfly::agent {

inline std::string_view embedded_agent() {
  return {mayfly_embedded_agent_begin,
          static_cast<std::size_t>(mayfly_embedded_agent_end - mayfly_embedded_agent_begin)};
}

}  // namespace mayfly::agent
