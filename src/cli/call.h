#pragma once
// A command line, taken apart: which command, its options and operands. And where its output goes.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/environment.h"
#include "cli/output.h"
#include "cli/table.h"

namespace mayfly {

using OptionValues = std::map<std::string, std::vector<std::string>, std::less<>>;

struct ParsedLine {
  const Command* command = nullptr;  // null: no command at all
  OptionValues options;              // by name; flags have one empty value
  OptionValues connection;           // those that name the daemon
  std::vector<std::string> operands;
  bool wants_help = false;
};

// Errors are usage errors, with a suggestion where one is near.
Result<ParsedLine> parse_line(const std::vector<std::string>& args);

struct Call {
  ParsedLine line;
  CliEnvironment& environment;
  Output& output;

  const Command& command() const { return *line.command; }
  bool has(std::string_view option) const { return line.options.contains(option); }
  // The last value given; empty where there is none.
  std::string value(std::string_view option) const;
  std::vector<std::string> values(std::string_view option) const;
  // A whole number within bounds, or `missing`.
  Result<std::int64_t> number(std::string_view option, std::int64_t missing, std::int64_t least,
                              std::int64_t most) const;
  Result<std::uint64_t> job_operand(std::size_t index = 0) const;
  std::string variable(const std::string& name) const;

  // Says what went wrong on stderr and gives the exit code.
  int failed(const Error& error, int code = exit_failed);
  int usage(const Error& error);
};

}  // namespace mayfly
