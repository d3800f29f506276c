#include "images/containerfile.h"

#include <algorithm>
#include <cctype>
#include <set>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly {
namespace {

const std::vector<std::string> instructions{"FROM",   "ARG",     "RUN",     "CMD",   "LABEL",      "MAINTAINER",
                                            "EXPOSE", "ENV",     "ADD",     "COPY",  "ENTRYPOINT", "VOLUME",
                                            "USER",   "WORKDIR", "ONBUILD", "SHELL", "STOPSIGNAL", "HEALTHCHECK"};

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::toupper(c); });
  return out;
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (const auto& word : split(text, ' '))
    if (auto w = trim(word); !w.empty()) words.emplace_back(w);
  return words;
}

// ${NAME}, ${NAME:-otherwise} and $NAME.
std::string filled_in(std::string_view text, const std::map<std::string, std::string>& values) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    bool braces = text[i + 1] == '{';
    std::size_t begin = i + 1 + braces, end = begin;
    while (end < text.size() && (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '_')) ++end;
    auto known = values.find(std::string(text.substr(begin, end - begin)));
    std::string value = known == values.end() ? "" : known->second;
    if (braces) {
      auto close = text.find('}', end);
      if (close == std::string_view::npos) return out + std::string(text.substr(i));
      if (value.empty() && text.substr(end, 2) == ":-") value = text.substr(end + 2, close - end - 2);
      end = close + 1;
    }
    out += value;
    i = end - 1;
  }
  return out;
}

std::string unquoted(std::string_view text) {
  if (text.size() >= 2 && (text.front() == '"' || text.front() == '\'') && text.back() == text.front())
    text = text.substr(1, text.size() - 2);
  return std::string(text);
}

// The words after << of a RUN or COPY: lines up to such a word alone are its text, not instructions.
std::vector<std::string> here_documents(std::string_view line) {
  std::vector<std::string> ends;
  for (auto at = line.find("<<"); at != std::string_view::npos; at = line.find("<<", at + 2)) {
    auto rest = line.substr(at + 2);
    if (rest.starts_with("-")) rest.remove_prefix(1);
    bool quoted = rest.starts_with("\"") || rest.starts_with("'");
    if (quoted) rest.remove_prefix(1);
    std::size_t n = 0;
    while (n < rest.size() && (std::isalnum(static_cast<unsigned char>(rest[n])) || rest[n] == '_')) ++n;
    if (n > 0 && !std::isdigit(static_cast<unsigned char>(rest[0]))) ends.emplace_back(rest.substr(0, n));
  }
  return ends;
}

struct Instruction {
  int line = 0;
  std::string word, rest;
};

class Reader {
 public:
  Reader(std::string_view text, const std::string& where, const std::map<std::string, std::string>& args)
      : text_(text), where_(where), given_(args) {}

  Result<Containerfile> read() {
    for (const auto& i : logical_lines()) MAYFLY_TRY(take(i));
    if (!from_seen_) return wrong(1, "it has no FROM", "Begin it with FROM and the image to build on.");
    return std::move(out_);
  }

 private:
  Unexpected wrong(int line, std::string what, std::string next) const {
    return fail(ErrorCode::invalid, what + "\n" + excerpt(text_, line), fmt::format("{}:{}", where_, line),
                std::move(next));
  }

  // Comments dropped, continued lines put together, here-documents skipped.
  std::vector<Instruction> logical_lines() const {
    std::vector<Instruction> all;
    std::string joined;
    int number = 0, begun = 0;
    std::vector<std::string> ends;
    for (const auto& raw : split(text_, '\n')) {
      ++number;
      auto line = trim(raw);
      if (!ends.empty()) {
        if (line == ends.front()) ends.erase(ends.begin());
        continue;
      }
      if (line.empty() || line.front() == '#') continue;
      if (joined.empty()) begun = number;
      bool goes_on = line.back() == '\\';
      joined += std::string(goes_on ? trim(line.substr(0, line.size() - 1)) : line) + (goes_on ? " " : "");
      if (goes_on) continue;
      add(all, begun, joined);
      if (all.back().word == "RUN" || all.back().word == "COPY" || all.back().word == "ADD")
        ends = here_documents(joined);
      joined.clear();
    }
    if (!joined.empty()) add(all, begun, joined);
    return all;
  }

  static void add(std::vector<Instruction>& all, int line, const std::string& text) {
    auto end = std::min(text.find_first_of(" \t"), text.size());
    all.push_back({line, upper(text.substr(0, end)), std::string(trim(std::string_view(text).substr(end)))});
  }

  Result<void> take(const Instruction& i) {
    if (std::find(instructions.begin(), instructions.end(), i.word) == instructions.end()) {
      auto near = nearest(i.word, instructions);
      for (const auto& known : instructions)  // RNU: two letters changed places
        if (!near && std::is_permutation(known.begin(), known.end(), i.word.begin(), i.word.end())) near = known;
      return wrong(i.line, fmt::format("'{}' is no instruction", i.word),
                   near ? fmt::format("Did you mean {}?", *near) : "A line that goes on ends with a backslash.");
    }
    if (i.word == "ARG") return take_arg(i);
    if (i.word == "FROM") return take_from(i);
    if (!from_seen_) return wrong(i.line, i.word + " stands before FROM", "Only ARG may.");
    if (i.word == "RUN" && !on_builder_ && out_.runs == 0) out_.runs = i.line;
    if (i.rest.empty()) return wrong(i.line, i.word + " says nothing", "Give it its arguments, or remove it.");
    return {};
  }

  Result<void> take_arg(const Instruction& i) {
    if (from_seen_) return {};
    for (const auto& word : words_of(i.rest)) {
      auto equals = word.find('=');
      auto name = word.substr(0, equals);
      auto given = given_.find(name);
      if (given != given_.end())
        values_[name] = given->second;
      else if (equals != std::string::npos)
        values_[name] = filled_in(unquoted(word.substr(equals + 1)), values_);
    }
    return {};
  }

  Result<void> take_from(const Instruction& i) {
    from_seen_ = true;
    auto words = words_of(i.rest);
    on_builder_ = false;
    for (; !words.empty() && words.front().starts_with("--"); words.erase(words.begin()))
      on_builder_ |= words.front() == "--platform=$BUILDPLATFORM" || words.front() == "--platform=${BUILDPLATFORM}";
    if (words.empty()) return wrong(i.line, "FROM names no image", "Name one, or `scratch`.");
    auto base = filled_in(unquoted(words.front()), values_);
    if (base.empty())
      return wrong(i.line, fmt::format("the argument in FROM {} is not set", words.front()),
                   "Give its ARG a value, or set it under `args:`.");
    bool known = base == "scratch" || stages_.contains(base) ||
                 std::find(out_.bases.begin(), out_.bases.end(), base) != out_.bases.end();
    if (!known) out_.bases.push_back(base);
    if (base != "scratch" && !stages_.contains(base)) out_.froms.push_back({i.line, words.front(), base});
    on_builder_ |= builder_stages_.contains(base);
    if (words.size() == 3 && upper(words[1]) == "AS") {
      stages_.insert(words[2]);
      if (on_builder_) builder_stages_.insert(words[2]);
    }
    if (words.size() != 1 && !(words.size() == 3 && upper(words[1]) == "AS"))
      return wrong(i.line, "FROM takes one image, and perhaps AS and a name", "");
    return {};
  }

  std::string_view text_;
  const std::string& where_;
  const std::map<std::string, std::string>& given_;
  std::map<std::string, std::string> values_;
  std::set<std::string> stages_,
      builder_stages_;  // the latter run on the platform of the builder, whatever the image's
  bool on_builder_ = false;
  bool from_seen_ = false;
  Containerfile out_;
};

}  // namespace

Result<Containerfile> read_containerfile(std::string_view text, const std::string& where,
                                         const std::map<std::string, std::string>& args) {
  return Reader(text, where, args).read();
}

std::map<int, std::string> pinned_lines(std::string_view text, const std::map<std::string, std::string>& args,
                                        const std::map<std::string, std::string>& digests) {
  std::map<int, std::string> out;
  auto read = read_containerfile(text, "", args);
  if (!read) return out;
  const auto lines = split(text, '\n');
  for (const auto& from : read->froms) {
    auto digest = digests.find(from.base);
    if (digest == digests.end()) continue;
    auto line = lines.at(static_cast<std::size_t>(from.line) - 1);
    auto at = line.find(from.written, 4);  // after FROM
    if (at == std::string::npos || line.find('\\') != std::string::npos) continue;
    // A name has a tag or a digest, never both; a colon before a slash is a port's.
    auto name = from.base.substr(0, std::min(from.base.find(':', from.base.rfind('/') + 1), from.base.size()));
    out[from.line] = line.replace(at, from.written.size(), name + "@" + digest->second);
  }
  return out;
}

std::string excerpt(std::string_view text, int line) {
  std::string out;
  int number = 0;
  for (const auto& l : split(text, '\n')) {
    ++number;
    if (number < line - 1 || number > line + 1 || (number > line && trim(l).empty())) continue;
    out += fmt::format("{}{:>4} | {}\n", number == line ? ">" : " ", number, l.substr(0, 160));
  }
  if (!out.empty()) out.pop_back();
  return out;
}

}  // namespace mayfly
