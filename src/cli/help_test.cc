#include "cli/help.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>

namespace mayfly {
namespace {

TEST(Table, EveryCommandIsWhole) {
  for (const auto& c : commands()) {
    EXPECT_NE(c.run, nullptr) << c.name;
    EXPECT_FALSE(c.summary.empty()) << c.name;
    EXPECT_FALSE(c.examples.empty()) << c.name;
    for (auto e : c.examples) EXPECT_TRUE(e.starts_with("mayfly " + std::string(c.name))) << e;
    std::set<std::string_view> names;
    std::set<char> letters;
    for (const auto& o : options_of(c)) {
      EXPECT_TRUE(names.insert(o.name).second) << c.name << " has --" << o.name << " twice";
      if (o.letter) EXPECT_TRUE(letters.insert(o.letter).second) << c.name << " has -" << o.letter << " twice";
      EXPECT_FALSE(o.help.empty()) << c.name << " --" << o.name;
    }
  }
}

TEST(Help, ShowsEveryOptionAndAnExample) {
  for (const auto& c : commands()) {
    auto text = help_of(c);
    for (const auto& o : options_of(c)) EXPECT_NE(text.find("--" + std::string(o.name)), std::string::npos) << c.name;
    EXPECT_NE(text.find("Example"), std::string::npos) << c.name;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      EXPECT_LE(line.size(), 110u) << line;  // bytes; a little more than the columns for what is not ASCII
      EXPECT_FALSE(line.ends_with(' ')) << "'" << line << "'";
    }
  }
}

TEST(Help, OfOneCommandLooksSo) {
  for (const auto& c : commands())
    if (c.name == "init")
      EXPECT_EQ(help_of(c),
                "Write a commented mayfly.yaml and a first recipe.\n\n"
                "Usage: mayfly init [OPTION…] [DIR]\n\n"
                "Options:\n"
                "      --json  Print JSON, for scripts\n"
                "  -h, --help  Explain this command\n\n"
                "Examples:\n  mayfly init\n  mayfly init ci/\n");
}

TEST(Help, DocumentationIsTheTable) {
  std::ifstream in(MAYFLY_SOURCE_DIR "/docs/cli.md");
  std::stringstream text;
  text << in.rdbuf();
  auto doc = text.str();
  const std::string begin = "<!-- made by `mayfly help --markdown`: do not edit below -->\n";
  auto at = doc.find(begin);
  ASSERT_NE(at, std::string::npos);
  EXPECT_EQ(doc.substr(at + begin.size()), help_markdown())
      << "run `mayfly help --markdown` and put it below the mark in docs/cli.md";
}

// Runs the bash script with a command line and gives what it would offer.
std::string complete(const std::string& words, int at) {
  std::string file = testing::TempDir() + "mayfly-completion.bash";
  std::ofstream(file) << bash_completion();
  auto command = "bash -c 'set -e; compopt() { :; }; mayfly() { echo pool-of-test; }; . " + file + "; COMP_WORDS=(" +
                 words + "); COMP_CWORD=" + std::to_string(at) + "; _mayfly; echo ${COMPREPLY[@]}' 2>&1";
  std::string out;
  FILE* p = ::popen(command.c_str(), "r");
  char buffer[4096];
  while (p && std::fgets(buffer, sizeof buffer, p)) out += buffer;
  if (p) ::pclose(p);
  std::remove(file.c_str());
  return out;
}

TEST(Completion, BashOffersWhatFits) {
  EXPECT_EQ(complete("mayfly st", 1), "status\n");
  EXPECT_EQ(complete("mayfly audit \"\"", 2), "show verify\n");
  EXPECT_EQ(complete("mayfly audit show --su", 3), "--subject\n");
  EXPECT_EQ(complete("mayfly jobs --state fa", 3), "failed\n");
  EXPECT_EQ(complete("mayfly run --pool \"\"", 3), "pool-of-test\n");
  EXPECT_EQ(complete("mayfly --server x jobs --lim", 4), "--limit\n") << "the value of an option is no command";
  EXPECT_EQ(complete("mayfly completion \"\"", 2), "bash zsh fish\n");
  EXPECT_EQ(complete("mayfly run --pool x -- ma", 5), "\n");
}

TEST(Completion, EveryShellKnowsEveryOption) {
  for (const auto& script : {bash_completion(), zsh_completion(), fish_completion()})
    for (const auto& c : commands())
      for (const auto& o : options_of(c)) EXPECT_NE(script.find(o.name), std::string::npos) << c.name << " " << o.name;
  EXPECT_NE(zsh_completion().find("'*-e[Set a variable in the job; K alone passes on its value from here]:K=V: '"),
            std::string::npos);
  EXPECT_NE(fish_completion().find("complete -c mayfly -n '__fish_seen_subcommand_from audit; and not "
                                   "__fish_seen_subcommand_from show verify' -a verify"),
            std::string::npos);
}

}  // namespace
}  // namespace mayfly
