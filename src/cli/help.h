#pragma once
// Help, completion and the reference, from the table.
#include <string>
#include <string_view>

#include "cli/table.h"

namespace mayfly {

std::string help_overview();
std::string help_of(const Command& command);
std::string help_markdown();  // the generated part of docs/cli.md
std::string bash_completion();
std::string zsh_completion();
std::string fish_completion();

}  // namespace mayfly
