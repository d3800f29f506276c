// Why a job waits, in words.
#include <fmt/format.h>

#include "plan/sight.h"

namespace mayfly::plan {

std::string count(int n, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

Reason Plan::reason(const Wait& wait) const {
  const Cause& c = causes[wait.cause];
  Reason r{c.code, c.text, {}, c.until};
  if (c.queue)
    r.text += wait.ahead == 0 ? "; it is next" : "; " + count(wait.ahead, "job is", "jobs are") + " ahead of it";
  return r;
}

}  // namespace mayfly::plan
