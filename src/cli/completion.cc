// Completion scripts, from the table. Names of pools and jobs are asked from the daemon at the moment of completing.
#include <fmt/format.h>

#include <set>

#include "base/text.h"
#include "cli/call.h"
#include "cli/commands.h"
#include "cli/help.h"

namespace mayfly {
namespace {

// Words of a kind, or a command that prints them.
std::string_view fixed_words(Completes kind) {
  switch (kind) {
    case Completes::job_state:
      return "queued assigned running succeeded failed cancelled timed_out lost";
    case Completes::network:
      return "none egress host";
    case Completes::shell:
      return "bash zsh fish";
    case Completes::log_level:
      return "debug info warning error";
    default:
      return {};
  }
}

std::string_view asked_words(Completes kind) {
  if (kind == Completes::pool) return "mayfly pools --quiet 2>/dev/null";
  if (kind == Completes::job) return "mayfly jobs --quiet 2>/dev/null";
  return {};
}

std::vector<std::string> first_words() {
  std::vector<std::string> out;
  for (const auto& c : commands()) {
    std::string word(c.name.substr(0, c.name.find(' ')));
    if (out.empty() || out.back() != word) out.push_back(word);
  }
  return out;
}

std::vector<const Command*> members(std::string_view group) {
  std::vector<const Command*> out;
  for (const auto& c : commands())
    if (c.name.size() > group.size() && c.name.starts_with(group) && c.name[group.size()] == ' ') out.push_back(&c);
  return out;
}

std::string_view second_word(const Command& c) { return c.name.substr(c.name.find(' ') + 1); }

std::string spellings(const Option& o, std::string_view separator) {
  return o.letter ? fmt::format("-{}{}--{}", o.letter, separator, o.name) : fmt::format("--{}", o.name);
}

std::string bash_reply(Completes kind) {
  switch (kind) {
    case Completes::file:
      return "compopt -o filenames; COMPREPLY=($(compgen -f -- \"$cur\"))";
    case Completes::directory:
      return "compopt -o filenames; COMPREPLY=($(compgen -d -- \"$cur\"))";
    case Completes::nothing:
      return "COMPREPLY=()";
    default:
      break;
  }
  if (auto words = fixed_words(kind); !words.empty())
    return fmt::format("COMPREPLY=($(compgen -W \"{}\" -- \"$cur\"))", words);
  return fmt::format("COMPREPLY=($(compgen -W \"$({})\" -- \"$cur\"))", asked_words(kind));
}

// 'text' for a shell, in single quotes.
std::string in_quotes(std::string_view text) {
  std::string out = "'";
  for (char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

}  // namespace

std::string bash_completion() {
  std::string groups, with_value;
  std::set<std::string> seen;
  for (const auto& word : first_words())
    if (is_group(word)) groups += (groups.empty() ? "" : "|") + word;
  for (const auto& c : commands())
    for (const auto& o : options_of(c))
      if (!o.value.empty() && seen.insert(spellings(o, "|")).second)
        with_value += (with_value.empty() ? "" : "|") + spellings(o, "|");
  std::string out = fmt::format(
      "# bash completion for mayfly; made by `mayfly completion bash`\n"
      "_mayfly() {{\n"
      "  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} command= i\n"
      "  COMPREPLY=()\n"
      "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
      "    case ${{COMP_WORDS[i]}} in\n"
      "      --) return ;;\n"
      "      {}) ((i++)) ;;\n"
      "      -*) ;;\n"
      "      *) case $command in\n"
      "           '') command=${{COMP_WORDS[i]}} ;;\n"
      "           {}) command=\"$command ${{COMP_WORDS[i]}}\" ;;\n"
      "         esac ;;\n"
      "    esac\n"
      "  done\n"
      "  case \"$command $prev\" in\n",
      with_value, groups);
  for (const auto& c : commands())
    for (const auto& o : options_of(c)) {
      if (o.value.empty()) continue;
      auto pattern = in_quotes(fmt::format("{} --{}", c.name, o.name));
      if (o.letter) pattern += "|" + in_quotes(fmt::format("{} -{}", c.name, o.letter));
      out += fmt::format("    {}) {}; return ;;\n", pattern, bash_reply(o.completes));
    }
  out += "  esac\n  case $command in\n";
  out += fmt::format("    '') COMPREPLY=($(compgen -W \"{}\" -- \"$cur\")) ;;\n", join(first_words(), " "));
  for (const auto& word : first_words()) {
    if (!is_group(word)) continue;
    std::vector<std::string> inner;
    for (const auto* c : members(word)) inner.emplace_back(second_word(*c));
    out += fmt::format("    {}) COMPREPLY=($(compgen -W \"{}\" -- \"$cur\")) ;;\n", word, join(inner, " "));
  }
  for (const auto& c : commands()) {
    std::string options;
    for (const auto& o : options_of(c)) options += (options.empty() ? "--" : " --") + std::string(o.name);
    out +=
        fmt::format("    {}) if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W \"{}\" -- \"$cur\")); else {}; fi ;;\n",
                    in_quotes(c.name), options, bash_reply(c.completes));
  }
  return out + "  esac\n}\ncomplete -F _mayfly mayfly\n";
}

namespace {

std::string zsh_action(Completes kind) {
  switch (kind) {
    case Completes::file:
      return "_files";
    case Completes::directory:
      return "_files -/";
    case Completes::pool:
      return "_mayfly_pools";
    case Completes::job:
      return "_mayfly_jobs";
    case Completes::nothing:
      return " ";
    default:
      return fmt::format("({})", fixed_words(kind));
  }
}

// Within an _arguments specification these have a meaning.
std::string zsh_text(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string zsh_arguments(const Command& c) {
  std::string out = "_arguments -s -S";
  for (const auto& o : options_of(c)) {
    auto value = o.value.empty() ? "" : fmt::format(":{}:{}", zsh_text(o.value), zsh_action(o.completes));
    auto text = fmt::format("[{}]{}", zsh_text(o.help), value);
    std::string star = o.repeated ? "*" : "";
    if (o.letter) out += " " + in_quotes(fmt::format("{}-{}{}", star, o.letter, text));
    out += " " + in_quotes(fmt::format("{}--{}{}", star, o.name, text));
  }
  if (c.passes_on)
    out += " '(-)*:: :_normal'";
  else if (c.completes != Completes::nothing)
    out += " " + in_quotes(fmt::format("*:{}:{}", c.operands, zsh_action(c.completes)));
  return out;
}

std::string zsh_describe(const std::vector<std::pair<std::string, std::string>>& words) {
  std::string out = "local -a words_here=(";
  for (const auto& [word, help] : words) out += in_quotes(fmt::format("{}:{}", word, help)) + " ";
  out.back() = ')';
  return out + "; _describe command words_here";
}

std::string_view group_summary(std::string_view group) {
  if (group == "audit") return "The ledger: what was decided, done and seen";
  if (group == "rollout") return "Pools on their way from one version to another";
  return group == "image" ? "Images and their versions" : "The configuration";
}

}  // namespace

std::string zsh_completion() {
  std::string out =
      "#compdef mayfly\n# made by `mayfly completion zsh`\n"
      "_mayfly_pools() { compadd -- ${(f)\"$(mayfly pools --quiet 2>/dev/null)\"} }\n"
      "_mayfly_jobs() { compadd -- ${(f)\"$(mayfly jobs --quiet 2>/dev/null)\"} }\n"
      "_mayfly() {\n  if (( CURRENT == 2 )); then\n    ";
  std::vector<std::pair<std::string, std::string>> top;
  for (const auto& word : first_words()) {
    std::string help(is_group(word) ? group_summary(word) : "");
    for (const auto& c : commands())
      if (c.name == word) help = c.summary;
    top.emplace_back(word, help);
  }
  out += zsh_describe(top) + "\n    return\n  fi\n  shift words; (( CURRENT-- ))\n  case $words[1] in\n";
  for (const auto& word : first_words()) {
    if (!is_group(word)) continue;
    std::vector<std::pair<std::string, std::string>> inner;
    for (const auto* c : members(word)) inner.emplace_back(std::string(second_word(*c)), std::string(c->summary));
    out += fmt::format(
        "    {})\n      if (( CURRENT == 2 )); then\n        {}\n        return\n      fi\n      shift words; (( "
        "CURRENT-- ))\n      case $words[1] in\n",
        word, zsh_describe(inner));
    for (const auto* c : members(word)) out += fmt::format("        {}) {} ;;\n", second_word(*c), zsh_arguments(*c));
    out += "      esac ;;\n";
  }
  for (const auto& c : commands())
    if (c.name.find(' ') == std::string_view::npos) out += fmt::format("    {}) {} ;;\n", c.name, zsh_arguments(c));
  return out +
         "  esac\n}\nif [[ $zsh_eval_context[-1] == loadautofunc ]]; then _mayfly \"$@\"; else compdef _mayfly mayfly; "
         "fi\n";
}

std::string fish_completion() {
  std::string out = "# fish completion for mayfly; made by `mayfly completion fish`\ncomplete -c mayfly -f\n";
  auto action = [](Completes kind) -> std::string {
    if (kind == Completes::file) return " -F";
    if (kind == Completes::directory) return " -a '(__fish_complete_directories)'";
    if (auto words = fixed_words(kind); !words.empty()) return " -a " + in_quotes(words);
    if (auto command = asked_words(kind); !command.empty()) return " -a " + in_quotes(fmt::format("({})", command));
    return "";
  };
  for (const auto& word : first_words()) {
    std::string help(is_group(word) ? group_summary(word) : "");
    for (const auto& c : commands())
      if (c.name == word) help = c.summary;
    out += fmt::format("complete -c mayfly -n __fish_use_subcommand -a {} -d {}\n", word, in_quotes(help));
  }
  for (const auto& c : commands()) {
    std::string condition = fmt::format("__fish_seen_subcommand_from {}", c.name);
    if (auto space = c.name.find(' '); space != std::string_view::npos) {
      std::string group(c.name.substr(0, space)), inner;
      for (const auto* m : members(group)) inner += " " + std::string(second_word(*m));
      out += fmt::format(
          "complete -c mayfly -n {} -a {} -d {}\n",
          in_quotes(fmt::format("__fish_seen_subcommand_from {}; and not __fish_seen_subcommand_from{}", group, inner)),
          second_word(c), in_quotes(c.summary));
      condition =
          fmt::format("__fish_seen_subcommand_from {}; and __fish_seen_subcommand_from {}", group, second_word(c));
    }
    for (const auto& o : options_of(c))
      out += fmt::format("complete -c mayfly -n {} -l {}{}{}{} -d {}\n", in_quotes(condition), o.name,
                         o.letter ? fmt::format(" -s {}", o.letter) : "", o.value.empty() ? "" : " -r",
                         o.value.empty() ? "" : action(o.completes), in_quotes(o.help));
    if (c.completes != Completes::nothing)
      out += fmt::format("complete -c mayfly -n {}{}\n", in_quotes(condition), action(c.completes));
  }
  return out;
}

int command_completion(Call& call) {
  auto shell = call.line.operands[0];
  if (shell == "bash") return call.output.out(bash_completion()), 0;
  if (shell == "zsh") return call.output.out(zsh_completion()), 0;
  if (shell == "fish") return call.output.out(fish_completion()), 0;
  auto near = nearest(shell, {"bash", "zsh", "fish"});
  return call.usage({ErrorCode::invalid,
                     fmt::format("there is no completion for '{}'", shell),
                     {},
                     near ? fmt::format("Did you mean {}?", *near) : "There is one for bash, zsh and fish."});
}

}  // namespace mayfly
