#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "images/buildah_tool.h"
#include "images/recipe.h"
#include "os/process.h"

namespace mayfly {
namespace {
namespace fs = std::filesystem;

class Images : public ::testing::Test {
 protected:
  Images() {
    char name[] = "/tmp/mfimgXXXXXX";
    folder = ::mkdtemp(name);
    image.name = "test-" + fs::path(folder).filename().string().substr(5);
    for (char& c : image.name) c = static_cast<char>(std::tolower(c));
    image.recipe = folder;
  }
  ~Images() override { fs::remove_all(folder); }
  void write(const std::string& name, const std::string& text) { std::ofstream(folder + "/" + name) << text; }
  std::string content() { return read_recipe(image).value().content; }
  Result<std::string> build() { return BuildahTool().build(image, after(std::chrono::minutes(2))); }

  Error failed(const std::string& output) {
    std::ifstream in(folder + "/Dockerfile");
    return build_error("x", folder + "/Dockerfile", std::string(std::istreambuf_iterator<char>(in), {}), output);
  }

  std::string folder;
  ImageSpec image;
};

TEST_F(Images, TheContentOfARecipeIsItsName) {
  write("Dockerfile", "FROM scratch\n");
  auto first = content();
  EXPECT_EQ(content(), first);
  write("Dockerfile", "FROM scratch \n");
  EXPECT_NE(content(), first);
  write("Dockerfile", "FROM scratch\n");
  EXPECT_EQ(content(), first);
  image.args["A"] = "1";
  EXPECT_NE(content(), first);
  image.args.clear();
  write("tool", "x");
  auto with_tool = content();
  EXPECT_NE(with_tool, first);
  fs::permissions(folder + "/tool", fs::perms::owner_all);
  EXPECT_NE(content(), with_tool);
}

TEST_F(Images, AFolderWithoutADockerfileIsAnError) {
  auto r = read_recipe(image);
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, ErrorCode::not_found);
  write("Containerfile", "FROM scratch\n");
  EXPECT_TRUE(read_recipe(image));
  image.recipe += "/no/such";
  EXPECT_FALSE(read_recipe(image));
}

TEST_F(Images, AFailedStepIsNamedByFileAndLine) {
  write("Dockerfile", "# a comment\nFROM scratch\nCOPY no-such-file /\n");
  auto e = failed("STEP 1/2: FROM scratch\nSTEP 2/2: COPY no-such-file /\nError: building: no such file\n");
  EXPECT_EQ(e.where, folder + "/Dockerfile:3");
  EXPECT_NE(e.what.find("no such file"), std::string::npos);
}

TEST_F(Images, ARegistryThatDoesNotAnswerMayDoSoLater) {
  write("Dockerfile", "FROM docker.io/library/debian:bookworm-slim\n");
  auto e = failed(
      "STEP 1/1: FROM docker.io/library/debian:bookworm-slim\nError: pinging container registry: Get "
      "\"https://registry-1.docker.io/v2/\": dial tcp: lookup registry-1.docker.io: no such host\n");
  EXPECT_EQ(e.code, ErrorCode::unavailable);
  EXPECT_EQ(failed("Error: unknown instruction: RNU").code, ErrorCode::invalid);
}

TEST_F(Images, BuildsOnceAndFindsItAgain) {
  if (os::find_program("buildah").empty()) GTEST_SKIP() << "buildah is not installed";
  if (::geteuid() != 0) GTEST_SKIP() << "only root's containers-storage is used by this test";
  write("hello", "hello\n");
  write("Dockerfile", "FROM scratch\nCOPY hello /hello\n");
  auto first = build();
  ASSERT_TRUE(first) << first.error().text();
  auto again = build();
  ASSERT_TRUE(again);
  EXPECT_EQ(*first, *again);
  (void)os::run({.argv = {"buildah", "rmi", *first}});
}

TEST_F(Images, ABrokenRecipeSaysWhere) {
  if (os::find_program("buildah").empty()) GTEST_SKIP() << "buildah is not installed";
  if (::geteuid() != 0) GTEST_SKIP() << "only root's containers-storage is used by this test";
  write("Dockerfile", "FROM scratch\nCOPY no-such-file /\n");
  auto containers = [] { return os::run({.argv = {"buildah", "containers", "-aq"}})->out; };
  auto before = containers();
  auto r = build();
  EXPECT_EQ(containers(), before) << "a failed build leaves its working container";
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, ErrorCode::invalid);
  EXPECT_EQ(r.error().where, folder + "/Dockerfile:2") << r.error().text();
}

}  // namespace
}  // namespace mayfly
