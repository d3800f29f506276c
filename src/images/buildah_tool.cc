#include "images/buildah_tool.h"

#include <regex>

#include <fmt/format.h>

#include "base/text.h"
#include "images/containerfile.h"
#include "images/recipe.h"
#include "os/file.h"
#include "os/process.h"

namespace mayfly {
namespace {

constexpr std::size_t shown_lines = 6;
constexpr std::size_t max_dockerfile = 1u << 20;

std::vector<std::string> last_lines(const std::string& text) {
  std::vector<std::string> lines;
  for (auto& line : split(text, '\n'))
    if (!trim(line).empty()) lines.push_back(std::string(trim(line)).substr(0, 400));
  if (lines.size() > shown_lines) lines.erase(lines.begin(), lines.end() - shown_lines);
  return lines;
}

// "STEP 3/5: RUN false" is the last step that began: where that instruction stands in the Dockerfile.
int line_of_step(const std::string& text, const std::string& output) {
  static const std::regex step(R"(STEP \d+(?:/\d+)?: ([^\n]+))");
  std::string instruction;
  for (std::sregex_iterator it(output.begin(), output.end(), step), end; it != end; ++it) instruction = (*it)[1];
  if (instruction.empty()) return 0;
  auto word = instruction.substr(0, instruction.find_first_of(" \t"));
  int number = 0, found = 0;
  for (const auto& line : split(text, '\n')) {
    ++number;
    auto t = trim(line);
    bool same_word = t.size() > word.size() && nearest(t.substr(0, word.size()), {word}) == word;
    bool same_text = t.substr(0, 40) == std::string_view(instruction).substr(0, std::min<std::size_t>(40, t.size()));
    if (same_text && !t.empty()) return number;
    if (same_word && found == 0) found = number;
  }
  return found;
}

}  // namespace

Error build_error(const std::string& image, const std::string& dockerfile, const std::string& text,
                  const std::string& output) {
  static const std::regex parse_line(R"([Ll]ine (\d+))");
  std::smatch m;
  int line = 0;
  if (std::regex_search(output, m, parse_line))
    line = std::atoi(m[1].str().c_str());
  else
    line = line_of_step(text, output);
  auto where = line > 0 ? fmt::format("{}:{}", dockerfile, line) : dockerfile;
  // A registry or mirror that does not answer may do so later; a wrong recipe stays wrong.
  static const std::regex passing(
      "dial tcp|no such host|i/o timeout|connection (refused|reset)|TLS handshake timeout|toomanyrequests|"
      "Temporary failure|unexpected EOF");
  // Nobody but this host has these: buildah asks a registry where the storage has none for the platform.
  const bool own = output.find("docker://localhost/") != std::string::npos;
  auto code = !own && std::regex_search(output, passing) ? ErrorCode::unavailable : ErrorCode::invalid;
  auto what = fmt::format("image '{}' does not build:\n  {}", image, join(last_lines(output), "\n  "));
  if (own)
    what += "\nA base under localhost/ is not in this host's storage, or not for the platform that is built for.";
  if (line > 0 && !text.empty()) what += "\n" + excerpt(text, line);
  return {code, what, where, {}};
}

Result<std::string> BuildahTool::build(const ImageSpec& image, Deadline deadline) {
  MAYFLY_ASSIGN(auto recipe, read_recipe(image));
  auto tag = fmt::format("localhost/mayfly/{}:{}", image.name, recipe.content.substr(0, 12));
  MAYFLY_ASSIGN(auto known,
                os::run({.argv = {"buildah", "inspect", "--type", "image", "--format", "{{.FromImageDigest}}", tag},
                         .deadline = deadline}));
  if (known.ok()) return tag;
  // chroot isolation: needs no more privilege than unpacking does, and works inside containers.
  std::vector<std::string> argv{"buildah",    "build",  "--isolation",     "chroot", "--layers",
                                "--force-rm", "--file", recipe.dockerfile, "--tag",  tag};
  for (const auto& [key, value] : image.args) argv.insert(argv.end(), {"--build-arg", key + "=" + value});
  argv.push_back(recipe.folder);
  MAYFLY_ASSIGN(auto built, os::run({.argv = argv, .deadline = deadline}));
  if (built.ok()) return tag;
  auto text = os::read_file(recipe.dockerfile, max_dockerfile).value_or("");
  return Unexpected(build_error(image.name, recipe.dockerfile, text, built.out + "\n" + built.err));
}

}  // namespace mayfly
