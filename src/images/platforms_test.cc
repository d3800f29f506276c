// Images for several platforms, and those that a Docker Engine builds: what is decided without either.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "images/built_layout.h"
#include "images/containerfile.h"
#include "images/docker_engine.h"
#include "images/ignore.h"
#include "images/target_platforms.h"
#include "os/process.h"

namespace mayfly::images {
namespace {

constexpr const char* arm64 =
    "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\n"
    "magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";
constexpr const char* s390x =
    "enabled\ninterpreter /usr/bin/qemu-s390x-static\nflags: F\noffset 0\n"
    "magic 7f454c4602020100000000000000000000020016\nmask ffffffffffffff00fffffffffffffffffffeffff\n";

std::string replaced(std::string text, const std::string& what, const std::string& with) {
  return text.replace(text.find(what), what.size(), with);
}

TEST(Platforms, EmulationIsReadFromTheKernelsOwnList) {
  EXPECT_EQ(emulated({arm64, s390x}), (std::set<std::string>{"arm64", "s390x"}));
  EXPECT_TRUE(emulated({replaced(arm64, "POCF", "POC")}).empty()) << "containers do not have the interpreter's file";
  EXPECT_TRUE(emulated({replaced(arm64, "enabled", "disabled")}).empty());
  EXPECT_TRUE(emulated({"enabled\ninterpreter /usr/bin/python3\nflags: \nextension .pyc\n"}).empty());
}

TEST(Platforms, ARecipeThatRunsNothingOfAPlatformNeedsNoEmulation) {
  ImageSpec image;
  image.name = "tool";
  image.platforms = {"linux/amd64", "linux/arm64"};
  RecipeAt recipe;
  recipe.dockerfile = "Dockerfile";
  auto check = [&](const std::string& text, const std::set<std::string>& runs) {
    recipe.text = text;
    auto checked = check_platforms(image, recipe, "linux/amd64", runs);
    return checked ? "" : checked.error().text();
  };
  EXPECT_EQ(check("FROM scratch\nCOPY a /\n", {}), "");
  const std::string crossed =
      "FROM --platform=$BUILDPLATFORM debian AS build\nRUN make\nFROM build AS more\nRUN make\n";
  EXPECT_EQ(check(crossed + "FROM scratch\nCOPY --from=more /x /\n", {}), "");
  auto refused = check(crossed + "FROM debian\nCOPY --from=more /x /\nRUN ldconfig\n", {});
  EXPECT_NE(refused.find("RUN ldconfig"), std::string::npos) << refused;
  EXPECT_NE(refused.find("qemu-user-static"), std::string::npos) << refused;
  EXPECT_EQ(check("FROM debian\nRUN true\n", {"arm64"}), "");
  image.platforms = {"linux/arm64"};
  EXPECT_NE(check("FROM scratch\n", {"arm64"}).find("nothing could be tried"), std::string::npos);
}

TEST(Ignore, TheLastPatternThatFitsDecides) {
  Ignore ignore("# a comment\n*.log\n/build/\n**/cache\nsrc/?.tmp\n!keep.log\n!build/out\n");
  for (const char* path : {"a.log", "build", "build/x/y", "cache", "a/b/cache/file", "src/a.tmp"})
    EXPECT_TRUE(ignore.leaves_out(path)) << path;
  for (const char* path : {"keep.log", "a/b.log", "build/out/x", "src/ab.tmp", "main.c", "cached"})
    EXPECT_FALSE(ignore.leaves_out(path)) << path;
}

TEST(DockerEngine, ItsAnswerInBuildahsWords) {
  EXPECT_EQ(read_docker_line(R"({"stream":"Step 2/3 : RUN false\n"})").text, "STEP 2/3: RUN false\n");
  EXPECT_EQ(read_docker_line(R"({"status":"Pulling fs layer","progressDetail":{},"id":"ab"})").text,
            "ab: Pulling fs layer\n");
  EXPECT_EQ(read_docker_line(R"({"status":"Downloading","progress":"[=>  ]","id":"ab"})").text, "");
  EXPECT_EQ(read_docker_line(R"({"errorDetail":{"code":1},"error":"returned a non-zero code: 1"})").error,
            "returned a non-zero code: 1");
  EXPECT_TRUE(read_docker_line(R"({"aux":{"ID":"sha256:abc"}})").built);
  EXPECT_EQ(read_docker_line("not json").text, "");
  EXPECT_EQ(docker_server({"tcp://win.example:2376", "/certs"}).url, "https://win.example:2376");
  EXPECT_EQ(docker_server({"tcp://win.example:2376", "/certs"}).key_file, "/certs/key.pem");
  EXPECT_EQ(docker_server({"unix:///run/docker.sock", ""}).unix_socket, "/run/docker.sock");
}

TEST(DockerEngine, TheContextHasWhatIsNotIgnoredDatedLikeTheRecipe) {
  char name[] = "/tmp/mfctxXXXXXX";
  const std::string folder = ::mkdtemp(name);
  std::filesystem::create_directories(folder + "/in/sub");
  for (const char* f : {"Dockerfile", "kept", "sub/dropped"}) std::ofstream(folder + "/in/" + f) << f;
  ASSERT_TRUE(os::run({.argv = {"tar", "-C", folder + "/in", "-cf", folder + "/in.tar", "Dockerfile", "kept", "sub"}}));
  auto made = make_docker_context(folder + "/in.tar", Ignore("sub\nDockerfile\n"), from_micros(1'000'000'000'000'000),
                                  folder + "/out.tar");
  ASSERT_TRUE(made) << made.error().text();
  auto listed = os::run({.argv = {"tar", "--utc", "--full-time", "-tvf", folder + "/out.tar"}});
  EXPECT_NE(listed->out.find("2001-09-09 01:46:40 Dockerfile"), std::string::npos) << listed->out;
  EXPECT_NE(listed->out.find("kept"), std::string::npos);
  EXPECT_EQ(listed->out.find("dropped"), std::string::npos);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace mayfly::images
