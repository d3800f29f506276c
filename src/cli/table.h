#pragma once
// The one table of commands and options. Parsing, help, completion and docs/cli.md all come from it.
#include <string>
#include <string_view>
#include <vector>

namespace mayfly {

struct Call;  // cli/call.h

enum class Completes { nothing, file, directory, pool, job, job_state, network, shell, log_level };

struct Option {
  std::string_view name;        // "pool", without the dashes
  char letter = 0;              // 'p' for -p; 0: none
  std::string_view value = {};  // "NAME"; empty: a flag
  std::string_view help = {};
  Completes completes = Completes::nothing;
  bool repeated = false;
};

struct Command {
  std::string_view name;              // "run", "audit show"
  std::string_view operands = {};     // for the usage line: "JOB", "-- CMD…"
  int least = 0, most = 0;            // operands; most < 0: any number
  std::string_view summary;           // one line
  std::string_view description = {};  // paragraphs; may be empty
  std::vector<Option> options = {};   // its own
  bool daemon = true;                 // talks to a daemon: takes the options that name one
  std::vector<std::string_view> examples = {};
  int (*run)(Call&) = nullptr;
  Completes completes = Completes::nothing;  // of its operands
  bool passes_on = false;                    // from the first operand on nothing is an option: the job's command line
};

const std::vector<Command>& commands();
const std::vector<Option>& connection_options();
const Option& help_option();
// All that this command takes: its own, those that name a daemon, and --help.
std::vector<Option> options_of(const Command& command);
// "audit" for "audit show": words that begin a command and are none themselves.
bool is_group(std::string_view word);

inline constexpr int exit_failed = 1;    // the command could not do what was asked
inline constexpr int exit_usage = 2;     // the command line is wrong
inline constexpr int exit_mayfly = 125;  // `run`: Mayfly's own failure, as distinct from the job's

}  // namespace mayfly
