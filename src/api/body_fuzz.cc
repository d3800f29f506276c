// What a client may send: a job's body, and a request's target.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include <boost/json.hpp>

#include "api/routes.h"
#include "model/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    auto parsed = mayfly::api::parse_submission(text);
    // What was accepted must survive being written down and read again.
    if (parsed)
      MAYFLY_CHECK(mayfly::job_spec_from_json(mayfly::to_json(parsed->spec)).value() == parsed->spec);
    else
      (void)mayfly::net::error_body(parsed.error());
  } else if (auto target = mayfly::net::parse_target(text)) {
    auto found = mayfly::api::match("GET", *target);
    if (!found) (void)mayfly::net::error_body(found.error().error);
  }
  return 0;
}
