#include "cli/help.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/call.h"
#include "cli/commands.h"

namespace mayfly {
namespace {

constexpr std::size_t help_width = 100;

// Breaks at spaces; every line begins with `indent` spaces but the first, which is where the caller left off.
std::string wrap(std::string_view text, std::size_t indent) {
  std::string out;
  std::size_t column = indent;
  for (;;) {
    auto end = text.find_first_of(" \n");
    auto word = text.substr(0, end);
    auto width = display_width(word);
    if (column > indent && column + width > help_width) {
      while (out.ends_with(' ')) out.pop_back();
      out += '\n' + std::string(indent, ' ');
      column = indent;
    }
    out += word;
    column += width;
    if (end == std::string_view::npos) return out;
    if (text[end] == '\n') {
      out += '\n' + std::string(text.size() > end + 1 && text[end + 1] == '\n' ? 0 : indent, ' ');
      column = indent;
    } else {
      out += ' ';
      ++column;
    }
    text.remove_prefix(end + 1);
  }
}

std::string shown(const Option& o) {
  return fmt::format("{}--{}{}{}", o.letter ? fmt::format("-{}, ", o.letter) : "    ", o.name,
                     o.value.empty() ? "" : " ", o.value);
}

std::string option_lines(const std::vector<Option>& options) {
  std::size_t width = 0;
  for (const auto& o : options) width = std::max(width, display_width(shown(o)));
  std::string out;
  for (const auto& o : options) {
    auto left = shown(o);
    auto text = std::string(o.help) + (o.repeated ? " (may be repeated)" : "");
    out += fmt::format("  {}{}{}\n", left, std::string(width - display_width(left) + 2, ' '), wrap(text, width + 4));
  }
  return out;
}

std::string usage(const Command& c) {
  return fmt::format("mayfly {}{}{}{}", c.name, c.options.empty() && !c.daemon ? "" : " [OPTION…]",
                     c.operands.empty() ? "" : " ", c.operands);
}

}  // namespace

std::string help_overview() {
  std::string out =
      "Mayfly gives every CI job a brand-new container that has never run a job before and never will again.\n\n"
      "Usage: mayfly COMMAND [OPTION…]\n\nCommands:\n";
  std::size_t width = 0;
  for (const auto& c : commands()) width = std::max(width, c.name.size());
  for (const auto& c : commands()) out += fmt::format("  {:<{}}  {}\n", c.name, width, c.summary);
  out +=
      "\nCommands that ask the daemon find it by --server URL, --state DIR, MAYFLY_SERVER, MAYFLY_STATE, or in\n"
      "the default place. `mayfly COMMAND --help` explains a command.\n\n"
      "Example:\n  mayfly run --pool general -- make test\n";
  return out;
}

std::string help_of(const Command& c) {
  auto out = fmt::format("{}.\n\nUsage: {}\n", c.summary, usage(c));
  if (!c.description.empty()) out += "\n" + wrap(c.description, 0) + "\n";
  auto own = c.options;
  if (!c.daemon) own.push_back(help_option());
  if (!own.empty()) out += "\nOptions:\n" + option_lines(own);
  if (c.daemon) {
    std::vector<Option> rest;
    for (const auto& o : options_of(c))
      if (std::none_of(c.options.begin(), c.options.end(), [&](const Option& mine) { return mine.name == o.name; }))
        rest.push_back(o);
    out += "\nWhich daemon:\n" + option_lines(rest);
  }
  out += c.examples.size() > 1 ? "\nExamples:\n" : "\nExample:\n";
  for (auto e : c.examples) out += fmt::format("  {}\n", e);
  return out;
}

std::string help_markdown() {
  std::string out;
  auto cell = [](std::string_view text) {
    std::string escaped;
    for (char ch : text) escaped += ch == '|' ? std::string("\\|") : std::string(1, ch);
    return escaped;
  };
  auto rows = [&](const std::vector<Option>& options) {
    std::string table = "| option | meaning |\n| --- | --- |\n";
    for (const auto& o : options)
      table += fmt::format("| `{}--{}{}{}` | {}{} |\n", o.letter ? fmt::format("-{}, ", o.letter) : "", o.name,
                           o.value.empty() ? "" : " ", o.value, cell(o.help), o.repeated ? " (may be repeated)" : "");
    return table;
  };
  out +=
      "## Which daemon\n\nCommands marked with * take these options too; they may also stand before the command.\n\n" +
      rows(connection_options());
  for (const auto& c : commands()) {
    out += fmt::format("\n## mayfly {}{}\n\n{}.\n\n```\n{}\n```\n", c.name, c.daemon ? " *" : "", c.summary, usage(c));
    if (!c.description.empty()) out += fmt::format("\n{}\n", c.description);
    if (!c.options.empty()) out += "\n" + rows(c.options);
    out += c.examples.size() > 1 ? "\nExamples:\n\n```\n" : "\nExample:\n\n```\n";
    for (auto e : c.examples) out += fmt::format("{}\n", e);
    out += "```\n";
  }
  return out;
}

int command_help(Call& call) {
  if (call.has("markdown")) return call.output.out(help_markdown()), 0;
  if (call.line.operands.empty()) return call.output.out(help_overview()), 0;
  auto args = call.line.operands;
  args.push_back("--help");
  auto line = parse_line(args);
  if (!line) return call.usage(line.error());
  call.output.out(line->command ? help_of(*line->command) : help_overview());
  return 0;
}

}  // namespace mayfly
