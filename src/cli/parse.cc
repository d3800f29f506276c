// Takes a command line apart, by the table.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/call.h"

namespace mayfly {
namespace {

Unexpected usage_error(std::string what, std::string next = {}) {
  return fail(ErrorCode::invalid, std::move(what), {}, std::move(next));
}

class Parser {
 public:
  explicit Parser(const std::vector<std::string>& args) : args_(args) {}

  Result<ParsedLine> parse() {
    MAYFLY_TRY(before_command());
    if (line_.wants_help || at_ == args_.size()) return std::move(line_);
    MAYFLY_TRY(find_command());
    if (line_.wants_help && !line_.command) return std::move(line_);
    MAYFLY_TRY(after_command());
    if (!line_.wants_help) MAYFLY_TRY(count_operands());
    return std::move(line_);
  }

 private:
  // `mayfly --state DIR jobs`: options that name the daemon may also stand in front.
  Result<void> before_command() {
    known_ = connection_options();
    known_.push_back(help_option());
    known_.push_back({"version", 0, {}, {}});
    while (at_ < args_.size() && args_[at_].size() > 1 && args_[at_][0] == '-') MAYFLY_TRY(take_option());
    if (line_.options.contains("version")) use("version");
    return {};
  }

  void use(std::string_view name) {
    for (const auto& c : commands())
      if (c.name == name) line_.command = &c;
  }

  Result<void> find_command() {
    if (line_.command) return {};
    std::string name = args_[at_++];
    if (is_group(name)) {
      std::vector<std::string> inner;
      for (const auto& c : commands())
        if (c.name.starts_with(name + " ")) inner.emplace_back(c.name.substr(name.size() + 1));
      if (at_ == args_.size()) return usage_error(fmt::format("`mayfly {}` needs one of: {}", name, join(inner, ", ")));
      std::string second = args_[at_++];
      if (second == "--help" || second == "-h") return line_.wants_help = true, Result<void>{};
      if (std::find(inner.begin(), inner.end(), second) == inner.end())
        return unknown(fmt::format("there is no command `{} {}`", name, second), second, inner,
                       "There are: " + join(inner, ", ") + ".", name + " ");
      name += " " + second;
    }
    use(name);
    if (line_.command) return {};
    std::vector<std::string> names;
    for (const auto& c : commands()) names.emplace_back(c.name.substr(0, c.name.find(' ')));
    return unknown(fmt::format("there is no command `{}`", name), name, names, "See `mayfly help`.");
  }

  static Unexpected unknown(std::string what, const std::string& word, const std::vector<std::string>& known,
                            const std::string& otherwise, const std::string& prefix = {}) {
    auto near = nearest(word, known);
    return usage_error(std::move(what), near ? fmt::format("Did you mean `{}{}`?", prefix, *near) : otherwise);
  }

  Result<void> after_command() {
    known_ = options_of(*line_.command);
    while (at_ < args_.size()) {
      const auto& word = args_[at_];
      if (word == "--") {
        ++at_;
        line_.operands.insert(line_.operands.end(), args_.begin() + static_cast<long>(at_), args_.end());
        return {};
      }
      if (word.size() > 1 && word[0] == '-') {
        MAYFLY_TRY(take_option());
        continue;
      }
      if (line_.command->passes_on) {
        line_.operands.assign(args_.begin() + static_cast<long>(at_), args_.end());
        return {};
      }
      line_.operands.push_back(word);
      ++at_;
    }
    return {};
  }

  Result<void> take_option() {
    const std::string& word = args_[at_++];
    return word.starts_with("--") ? take_long(word.substr(2)) : take_letters(word.substr(1));
  }

  Result<void> take_long(const std::string& text) {
    auto equals = text.find('=');
    std::string name = text.substr(0, equals);
    for (const auto& o : known_) {
      if (o.name != name) continue;
      if (o.value.empty() && equals != std::string::npos) return usage_error(fmt::format("--{} takes no value", name));
      if (equals != std::string::npos) return store(o, text.substr(equals + 1));
      return take_value(o, "--" + name);
    }
    std::vector<std::string> names;
    for (const auto& o : known_) names.push_back("--" + std::string(o.name));
    return unknown(fmt::format("there is no option --{}{}", name,
                               line_.command ? fmt::format(" for `mayfly {}`", line_.command->name) : ""),
                   "--" + name, names,
                   line_.command ? fmt::format("See `mayfly {} --help`.", line_.command->name) : "See `mayfly help`.");
  }

  // -f, -dp general, -pgeneral.
  Result<void> take_letters(const std::string& letters) {
    for (std::size_t i = 0; i < letters.size(); ++i) {
      auto it = std::find_if(known_.begin(), known_.end(), [&](const Option& o) { return o.letter == letters[i]; });
      if (it == known_.end())
        return usage_error(
            fmt::format("there is no option -{}", letters[i]),
            line_.command ? fmt::format("See `mayfly {} --help`.", line_.command->name) : "See `mayfly help`.");
      if (!it->value.empty() && i + 1 < letters.size()) return store(*it, letters.substr(i + 1));
      MAYFLY_TRY(take_value(*it, fmt::format("-{}", letters[i])));
    }
    return {};
  }

  Result<void> take_value(const Option& o, const std::string& shown) {
    if (o.value.empty()) return store(o, "");
    if (at_ == args_.size()) return usage_error(fmt::format("{} needs a value: {} {}", shown, shown, o.value));
    return store(o, args_[at_++]);
  }

  Result<void> store(const Option& o, std::string value) {
    if (o.name == "help") return line_.wants_help = true, Result<void>{};
    const auto& named = connection_options();
    bool own = line_.command && std::any_of(line_.command->options.begin(), line_.command->options.end(),
                                            [&](const Option& c) { return c.name == o.name; });
    bool connects = !own && std::any_of(named.begin(), named.end(), [&](const Option& c) { return c.name == o.name; });
    auto& values = (connects ? line_.connection : line_.options)[std::string(o.name)];
    if (!o.repeated && !values.empty() && !o.value.empty())
      return usage_error(fmt::format("--{} was given twice", o.name));
    values.push_back(std::move(value));
    return {};
  }

  Result<void> count_operands() {
    const auto& c = *line_.command;
    auto n = static_cast<int>(line_.operands.size());
    std::string usage = fmt::format("Usage: mayfly {}{}{}", c.name, c.operands.empty() ? "" : " ", c.operands);
    if (n < c.least) return usage_error(fmt::format("`mayfly {}` needs {}", c.name, c.operands), usage);
    if (c.most >= 0 && n > c.most)
      return usage_error(
          fmt::format("'{}' is one too many for `mayfly {}`", line_.operands[static_cast<std::size_t>(c.most)], c.name),
          usage);
    return {};
  }

  const std::vector<std::string>& args_;
  std::size_t at_ = 0;
  std::vector<Option> known_;
  ParsedLine line_;
};

}  // namespace

Result<ParsedLine> parse_line(const std::vector<std::string>& args) { return Parser(args).parse(); }

}  // namespace mayfly
