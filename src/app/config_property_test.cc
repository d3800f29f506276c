// Any change to a good file gives a Config or at least one mistake with its place, and never a crash. The fuzzer looks
// further (config_fuzz.cc); this runs with every test run, from a fixed seed.
#include <random>

#include <gtest/gtest.h>

#include "app/config_reader.h"
#include "app/init_template.h"

namespace mayfly {
namespace {

const std::string good = R"(images:
  general: {recipe: images/general, args: {BASE: "debian"}}
pools:
  general:
    image: general
    ci: {builtin: {}}
    network: none
    secrets: [npm-token]
    builders: {warm: 2, max: 100, cpu: 1.5, memory: 8GiB, disk: 1GiB, timeout: 1h30m}
secrets: {npm-token: {env: NPM_TOKEN}, key: {file: /run/key}}
server: {listen: '[::1]:8443', tls: {certificate: a, key: b}, tokens: t}
)";

std::string mutated(std::string text, std::mt19937& random) {
  static const std::string pieces[] = {"&a ",
                                       "*a",
                                       "!!str ",
                                       "\t",
                                       "\n",
                                       "---\n",
                                       "{",
                                       "}",
                                       "[",
                                       "]",
                                       ": ",
                                       "- ",
                                       "'",
                                       "\"",
                                       "|\n",
                                       ">\n",
                                       "? ",
                                       "<<: ",
                                       "~",
                                       "nan",
                                       "-1",
                                       "1e999",
                                       "99999999999999999999",
                                       "\xff",
                                       "\xef\xbb\xbf",
                                       "\xc2\x85",
                                       "#",
                                       "%",
                                       "\r",
                                       "\\",
                                       "\"\\x00\"",
                                       "\"\\uD800\"",
                                       "../..",
                                       "@sha256:",
                                       "::",
                                       "  "};
  auto at = [&](std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit)(random); };
  for (std::size_t n = at(3) + 1; n > 0; --n) {
    std::size_t i = at(text.size()), length = at(8);
    switch (at(4)) {
      case 0:
        text.erase(i, length);
        break;
      case 1:
        text.insert(i, pieces[at(std::size(pieces) - 1)]);
        break;
      case 2:
        text.insert(i, text.substr(at(text.size()), at(40)));
        break;
      case 3:
        if (i < text.size()) text[i] = static_cast<char>(at(255));
        break;
      default:
        text.insert(i, 1, static_cast<char>(at(255)));
    }
  }
  return text;
}

TEST(ConfigProperty, ChangedFilesAreReadOrRefusedWithAPlace) {
  std::mt19937 random(20261122);
  int accepted = 0, refused = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string text = mutated(i % 4 == 0 ? init_files().at(0).content : good, random);
    auto reading = read_config(text, "/etc");
    auto lines = static_cast<int>(std::count(text.begin(), text.end(), '\n')) + 2;  // a file may end amid something
    for (const auto& problem : reading.problems) {
      EXPECT_FALSE(problem.text.empty());
      EXPECT_GE(problem.at.line, 1) << text;
      EXPECT_LE(problem.at.line, lines + static_cast<int>(std::count(text.begin(), text.end(), '\r')) + 4) << text;
      EXPECT_GE(problem.at.column, 1) << text;
    }
    if (!reading.problems.empty())
      ++refused;
    else if (!reading.config.pools.empty())
      ++accepted;
    else
      ADD_FAILURE() << "neither a mistake nor a pool:\n" << text;
  }
  EXPECT_GT(accepted, 100);  // otherwise the changes are too wild to reach what lies behind YAML
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace mayfly
