#include "cli/waits.h"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "cli/output.h"
#include "cli/read.h"

namespace mayfly {

std::string waits_text(const boost::json::object& pool, Time now, std::string_view indent) {
  std::string text;
  for (const auto* wait : read_objects(pool, "waits")) {
    auto* reason = wait->if_contains("reason");
    if (!reason || !reason->is_object()) continue;
    const auto& r = reason->get_object();
    auto jobs = read_number(*wait, "jobs");
    auto since = from_micros(read_number(r, "since")), until = from_micros(read_number(r, "until"));
    text += fmt::format("{}{} job{}: {}", indent, jobs, jobs == 1 ? "" : "s", printable(read_text(r, "code")));
    if (since != Time{})
      text += fmt::format(", {}for {}", jobs == 1 ? "" : "the longest ", rough_duration(now - since));
    if (until > now) text += fmt::format(", changes in about {}", rough_duration(until - now));
    if (auto why = read_text(r, "text"); !why.empty()) text += ": " + shorten(printable(why), 200);
    text += "\n";
  }
  return text;
}

}  // namespace mayfly
