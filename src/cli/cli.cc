#include "cli/cli.h"

#include <fmt/format.h>

#include "cli/call.h"
#include "cli/help.h"

namespace mayfly {

int cli_main(const std::vector<std::string>& args, CliEnvironment& environment) {
  auto set = [&](const char* name) {
    auto it = environment.variables.find(name);
    return it != environment.variables.end() && !it->second.empty();
  };
  bool colour = !set("NO_COLOR") && !(set("TERM") && environment.variables["TERM"] == "dumb");
  Output output(environment.out, environment.err, environment.out_is_terminal && colour, environment.err_is_terminal,
                environment.err_is_terminal && colour);
  auto line = parse_line(args);
  if (!line) {
    output.remark(line.error().text());
    return exit_usage;
  }
  if (!line->command && !line->wants_help) {
    output.err(help_overview());
    return exit_usage;
  }
  if (line->wants_help) {
    output.out(line->command ? help_of(*line->command) : help_overview());
    return 0;
  }
  Call call{std::move(*line), environment, output};
  return call.command().run(call);
}

}  // namespace mayfly
