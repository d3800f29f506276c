#include <gtest/gtest.h>

#include "cli/call.h"

namespace mayfly {
namespace {

using Words = std::vector<std::string>;

TEST(Parse, TakesOptionsInEverySpelling) {
  for (const auto& args : std::vector<Words>{{"jobs", "--pool", "general", "--limit=5", "-q"},
                                             {"jobs", "-pgeneral", "-l", "5", "-q"},
                                             {"jobs", "-ql5", "--pool=general"}}) {
    auto line = parse_line(args);
    ASSERT_TRUE(line) << line.error().text();
    EXPECT_EQ(line->command->name, "jobs");
    EXPECT_EQ(line->options.at("pool"), Words{"general"});
    EXPECT_EQ(line->options.at("limit"), Words{"5"});
    EXPECT_TRUE(line->options.contains("quiet"));
  }
}

TEST(Parse, LeavesTheJobsCommandAlone) {
  for (const auto& args : std::vector<Words>{{"run", "-p", "a", "--", "make", "-j2", "--help"},
                                             {"run", "-p", "a", "make", "-j2", "--help"}}) {
    auto line = parse_line(args);
    ASSERT_TRUE(line) << line.error().text();
    EXPECT_FALSE(line->wants_help);
    EXPECT_EQ(line->operands, (Words{"make", "-j2", "--help"}));
  }
  auto line = parse_line({"run", "-p", "a", "--", "--", "-x"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->operands, (Words{"--", "-x"}));
}

TEST(Parse, KeepsTheDaemonsStateApartFromTheJobs) {
  auto line = parse_line({"--state", "/srv/m", "jobs", "--state", "failed"});
  ASSERT_TRUE(line) << line.error().text();
  EXPECT_EQ(line->connection.at("state"), Words{"/srv/m"});
  EXPECT_EQ(line->options.at("state"), Words{"failed"});
  line = parse_line({"status", "--state=/srv/m"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->connection.at("state"), Words{"/srv/m"});
  EXPECT_TRUE(line->options.empty());
}

TEST(Parse, RepeatsOnlyWhatMayBeRepeated) {
  auto line = parse_line({"run", "-e", "A=1", "--env", "B=2", "-p", "x", "true"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->options.at("env"), (Words{"A=1", "B=2"}));
  EXPECT_FALSE(parse_line({"run", "-p", "x", "-p", "y", "true"}));
}

TEST(Parse, FindsCommandsOfTwoWordsAndHelp) {
  EXPECT_EQ(parse_line({"audit", "verify"})->command->name, "audit verify");
  EXPECT_EQ(parse_line({"--version"})->command->name, "version");
  EXPECT_TRUE(parse_line({"run", "--help"})->wants_help);
  EXPECT_TRUE(parse_line({"logs", "-h"})->wants_help) << "help needs no operand";
  EXPECT_TRUE(parse_line({"--help"})->wants_help);
  EXPECT_TRUE(parse_line({"audit", "--help"})->wants_help);
  EXPECT_EQ(parse_line({})->command, nullptr);
}

TEST(Parse, SaysWhatIsWrongAndWhatWasMeant) {
  struct Case {
    Words args;
    const char* says;
  };
  const Case cases[] = {
      {{"statsu"}, "Did you mean `status`?"},
      {{"frobnicate"}, "there is no command `frobnicate`. See `mayfly help`."},
      {{"audit", "verfy"}, "Did you mean `audit verify`?"},
      {{"audit"}, "needs one of: show, verify"},
      {{"jobs", "--limt", "3"}, "Did you mean `--limit`?"},
      {{"jobs", "-x"}, "there is no option -x"},
      {{"jobs", "--limit"}, "--limit needs a value: --limit N"},
      {{"jobs", "--quiet=yes"}, "--quiet takes no value"},
      {{"logs"}, "`mayfly logs` needs JOB"},
      {{"logs", "1", "2"}, "'2' is one too many"},
      {{"--pool", "x", "jobs"}, "there is no option --pool"},
      {{"doctor", "--server", "x"}, "there is no option --server for `mayfly doctor`"},
  };
  for (const auto& c : cases) {
    auto line = parse_line(c.args);
    ASSERT_FALSE(line) << c.says;
    EXPECT_NE(line.error().text().find(c.says), std::string::npos) << line.error().text() << " / " << c.says;
  }
}

}  // namespace
}  // namespace mayfly
