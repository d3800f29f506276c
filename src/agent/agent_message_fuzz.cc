// Whatever comes over the agent's line: the decoders must survive it, and what they accept must survive a round trip.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "model/agent_message.h"

using namespace mayfly::agent;

static void require(bool condition) {
  if (!condition) std::abort();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (auto message = decode_to_agent(text)) {
    auto once = encode(*message);
    auto again = decode_to_agent(once);
    require(again.has_value() && encode(*again) == once);
  }
  if (auto message = decode_from_agent(text)) {
    auto once = encode(*message);
    auto again = decode_from_agent(once);
    require(again.has_value() && encode(*again) == once);
  }
  if (auto finished = decode_result(text)) {
    auto once = encode_result(*finished);
    auto again = decode_result(once);
    require(again.has_value() && encode_result(*again) == once);
  }
  return 0;
}
