#include "app/config.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <sys/stat.h>

#include "app/config_reader.h"
#include "base/text.h"

namespace mayfly {
namespace {

constexpr std::size_t max_problems = 20;
constexpr std::size_t excerpt_width = 100;

// Characters, each a string of its bytes, with what a terminal would obey or not show made harmless.
std::vector<std::string> characters(std::string_view line) {
  std::vector<std::string> out;
  for (char ch : line) {
    auto c = static_cast<unsigned char>(ch);
    if ((c & 0xc0) == 0x80 && !out.empty())
      out.back() += ch;
    else
      out.emplace_back(1, c < 0x20 || c == 0x7f || c >= 0xf8 ? ' ' : ch);
  }
  for (auto& c : out)
    if (c.size() > 4 || (c.size() == 1 && static_cast<unsigned char>(c[0]) >= 0x80) ||
        (c.size() == 2 && c[0] == '\xc2' && c[1] < '\xa0'))
      c = "?";
  return out;
}

// The line and, below it, a caret. Of a long line the part around the caret.
std::string excerpt(std::string_view line, const ConfigProblem& problem) {
  auto all = characters(line);
  int caret = std::min<int>(problem.at.column - 1, static_cast<int>(all.size()));
  int end = std::min<int>(static_cast<int>(all.size()), problem.show);
  int begin = all.size() <= excerpt_width ? 0 : std::max(0, caret - static_cast<int>(excerpt_width / 2));
  int stop = std::min(end, begin + static_cast<int>(excerpt_width));
  std::string shown = begin > 0 ? "…" : "";
  for (int i = begin; i < stop; ++i) shown += all[static_cast<std::size_t>(i)];
  if (stop < static_cast<int>(all.size())) shown += "…";
  auto number = fmt::format("{:>5}", problem.at.line);
  return fmt::format("\n{} | {}\n{:5} | {:>{}}", number, shown, "", "^", caret - begin + (begin > 0 ? 2 : 1));
}

std::string render(const std::vector<ConfigProblem>& problems, std::string_view text, const std::string& filename) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  std::string out;
  // Problems are in the file's order: one walk finds all lines.
  int line = 1;
  std::size_t begin = 0, told = 0;
  for (const auto& problem : problems) {
    if (told++ == max_problems) break;
    if (!out.empty()) out += "\n";
    out += fmt::format("{}:{}:{}: {}", filename, problem.at.line, problem.at.column, problem.text);
    for (; line < problem.at.line && begin < text.size(); ++line)
      begin = std::min(text.find('\n', begin), text.size() - 1) + 1;
    if (line != problem.at.line || text.empty()) continue;
    auto source = text.substr(begin, text.find('\n', begin) - begin);
    if (source.ends_with('\r')) source.remove_suffix(1);
    if (!source.empty() || problem.at.column > 1) out += excerpt(source, problem);
  }
  if (problems.size() > max_problems) out += fmt::format("\n{}: and {} more", filename, problems.size() - max_problems);
  return out;
}

std::string folder_of(const std::string& filename) {
  std::error_code ignored;  // without a working directory the path stays as it was given
  auto absolute = std::filesystem::absolute(filename, ignored);
  return (absolute.empty() ? std::filesystem::path(filename) : absolute).lexically_normal().parent_path().string();
}

}  // namespace

Result<Config> parse_config(std::string_view text, const std::string& filename) {
  auto reading = read_config(text, folder_of(filename));
  if (reading.problems.empty()) return std::move(reading.config);
  return fail(ErrorCode::invalid, render(reading.problems, text, filename));
}

Result<Config> load_config(const std::string& path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "re"), std::fclose);
  if (!file && errno == ENOENT)
    return fail(ErrorCode::not_found, "there is no such file", path,
                "`mayfly init` writes one to begin with; --config names another.");
  if (!file) return Unexpected(errno_error("cannot open the configuration", errno, path));
  struct stat st{};
  if (fstat(fileno(file.get()), &st) == 0 && S_ISDIR(st.st_mode))
    return fail(ErrorCode::invalid, "this is a folder, not a file", path,
                fmt::format("Did you mean {}/mayfly.yaml?", path));
  std::string text(max_config_bytes + 1, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file.get()));
  if (std::ferror(file.get()) != 0) return Unexpected(errno_error("cannot read the configuration", errno, path));
  if (text.size() > max_config_bytes)
    return fail(ErrorCode::invalid, fmt::format("the file is larger than {} bytes", max_config_bytes), path,
                "A configuration is never that large.");
  return parse_config(text, path);
}

}  // namespace mayfly
