#include "os/file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include <gtest/gtest.h>

namespace mayfly::os {
namespace {

class FileTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(mkdtemp(dir_.data()), nullptr); }
  void TearDown() override { EXPECT_TRUE(remove_tree(dir_).has_value()); }
  std::string in(const std::string& name) const { return dir_ + "/" + name; }
  std::string dir_ = "/tmp/mayfly-file-XXXXXX";
};

TEST_F(FileTest, AtomicWriteReplacesAndLeavesNoTemporary) {
  ASSERT_TRUE(write_file_atomically(in("a"), "one"));
  ASSERT_TRUE(write_file_atomically(in("a"), "two", 0640));
  EXPECT_EQ(read_file(in("a"), 100).value(), "two");
  struct stat st{};
  ASSERT_EQ(stat(in("a").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 07777, 0640u);
  unlink(in("a").c_str());
  EXPECT_EQ(rmdir(dir_.c_str()), 0) << "a temporary file was left";
  mkdir(dir_.c_str(), 0700);
}

TEST_F(FileTest, ReadRefusesWhatIsTooLong) {
  ASSERT_TRUE(write_file_atomically(in("a"), "12345"));
  EXPECT_TRUE(read_file(in("a"), 5));
  EXPECT_EQ(read_file(in("a"), 4).error().code, ErrorCode::exhausted);
  EXPECT_EQ(read_file(in("b"), 4).error().code, ErrorCode::not_found);
}

TEST_F(FileTest, RemoveTreeDoesNotFollowLinks) {
  ASSERT_TRUE(make_directories(in("keep/me")));
  ASSERT_TRUE(make_directories(in("tree/a/b")));
  ASSERT_TRUE(write_file_atomically(in("keep/me/file"), "x"));
  ASSERT_EQ(symlink(in("keep").c_str(), in("tree/a/link").c_str()), 0);
  ASSERT_TRUE(remove_tree(in("tree")));
  EXPECT_NE(access(in("tree").c_str(), F_OK), 0);
  EXPECT_EQ(read_file(in("keep/me/file"), 10).value(), "x");
  EXPECT_TRUE(remove_tree(in("tree"))) << "nothing there is fine";
}

TEST_F(FileTest, MakeDirectoriesNamesWhatIsInTheWay) {
  ASSERT_TRUE(write_file_atomically(in("a"), "x"));
  auto made = make_directories(in("a/b"));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().where, in("a"));
}

TEST_F(FileTest, DiskSpaceIsPlausible) {
  const auto space = disk_space(dir_).value();
  EXPECT_GT(space.total, 0);
  EXPECT_LE(space.free, space.total);
}

}  // namespace
}  // namespace mayfly::os
