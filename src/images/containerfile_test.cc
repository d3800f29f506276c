#include "images/containerfile.h"

#include <gtest/gtest.h>

namespace mayfly {
namespace {

Error mistake(const std::string& text) {
  auto read = read_containerfile(text, "Dockerfile", {});
  return read ? Error{ErrorCode::internal, "nothing was wrong with: " + text} : read.error();
}

TEST(ContainerfileTest, BasesAreThoseThatAreNotMadeHere) {
  auto read = read_containerfile(
      "# syntax\nARG BASE=debian:12\nARG TAG\nFROM --platform=linux/amd64 ${BASE} AS build\nARG BASE=other\nRUN true\n"
      "FROM alpine:${TAG:-3} AS tools\nFROM build\nFROM scratch\nFROM \"alpine:3\"\nCOPY --from=build / /\n",
      "Dockerfile", {});
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(read->bases, (std::vector<std::string>{"debian:12", "alpine:3"}));
  read = read_containerfile("ARG BASE=debian:12\nFROM $BASE\n", "Dockerfile", {{"BASE", "localhost/mine:1"}});
  EXPECT_EQ(read->bases, std::vector<std::string>{"localhost/mine:1"});
}

TEST(ContainerfileTest, LinesOfBasesArePinnedToTheirDigests) {
  const std::string text =
      "ARG TAG=1\nFROM --platform=linux/amd64 r.example:5000/team/base:$TAG AS build\nRUN true\nFROM debian:12\n"
      "COPY --from=build / /\nFROM \"r.example/other\"\nFROM \\\n  r.example:5000/team/base:1\nFROM build\n";
  auto lines = pinned_lines(text, {}, {{"r.example:5000/team/base:1", "sha256:12"}, {"r.example/other", "sha256:34"}});
  EXPECT_EQ(lines, (std::map<int, std::string>{
                       {2, "FROM --platform=linux/amd64 r.example:5000/team/base@sha256:12 AS build"},
                       {6, "FROM r.example/other@sha256:34"},
                   }));
  EXPECT_TRUE(pinned_lines(text, {}, {}).empty());
  EXPECT_EQ(pinned_lines(text, {{"TAG", "2"}}, {{"r.example:5000/team/base:1", "sha256:12"}}).size(), 0u);
}

TEST(ContainerfileTest, LinesThatGoOnAndTextsAreNoInstructions) {
  auto read = read_containerfile(
      "FROM a\nRUN one && \\\n  # a comment between\n  two\nRUN <<END\nNONSENSE here\nEND\nCOPY <<-\"X\" "
      "/x\nMORE\nX\nrun lower\n",
      "Dockerfile", {});
  EXPECT_TRUE(read) << read.error().text();
}

TEST(ContainerfileTest, AMistakeHasLineExcerptAndAdvice) {
  auto e = mistake("FROM a\n\nRNU true\nRUN x\n");
  EXPECT_EQ(e.where, "Dockerfile:3");
  EXPECT_NE(e.what.find("'RNU'"), std::string::npos);
  EXPECT_NE(e.what.find(">   3 | RNU true"), std::string::npos) << e.what;
  EXPECT_EQ(e.next, "Did you mean RUN?");
  EXPECT_EQ(mistake("FROM a\nRUN one \\\n  two\nBAD\n").where, "Dockerfile:4");
  EXPECT_EQ(mistake("RUN true\nFROM a\n").where, "Dockerfile:1");
  EXPECT_EQ(mistake("FROM a b\n").where, "Dockerfile:1");
  EXPECT_EQ(mistake("ARG X\nFROM ${X}\n").where, "Dockerfile:2");
  EXPECT_EQ(mistake("FROM a\nRUN\n").where, "Dockerfile:2");
  EXPECT_EQ(mistake("").where, "Dockerfile:1");
}

}  // namespace
}  // namespace mayfly
