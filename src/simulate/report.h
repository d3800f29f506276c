#pragma once
// What came out of simulations, for people, for scripts and as a picture. Pure: the same outcome, the same bytes.
#include <optional>
#include <string>
#include <vector>

#include "simulate/target.h"

namespace mayfly::simulate {

struct Case {
  std::string name;  // the configuration's
  Outcome outcome;
};

struct Report {
  std::vector<Case> cases;  // one, or two to compare
  std::optional<Target> target;
  std::optional<Found> found;
  std::size_t left_out = 0;
};

std::string report_text(const Report& report);
std::string report_json(const Report& report);  // one object, ends with a newline
std::string report_html(const Report& report);  // one page that needs nothing else

// The lines of the configuration that --find changes.
std::string yaml_lines(const Config& config, const Outcome& outcome);
std::string with_commas(std::size_t n);

}  // namespace mayfly::simulate
