#include "secrets/configured_secrets.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace mayfly {
namespace {

namespace fs = std::filesystem;
using perms = fs::perms;

class Secrets : public testing::Test {
 protected:
  Secrets() {
    char name[] = "/tmp/mfsecXXXXXX";
    folder_ = mkdtemp(name);
    file_ = (folder_ / "value").string();
  }
  ~Secrets() override {
    fs::remove_all(folder_);
    unsetenv("MAYFLY_TEST_SECRET");
  }
  void write(std::string_view value, mode_t mode = 0600) {
    std::ofstream(file_, std::ios::binary | std::ios::trunc) << value;
    ASSERT_EQ(chmod(file_.c_str(), mode), 0);
  }
  ConfiguredSecrets store() const {
    return ConfiguredSecrets(
        {{"from-file", {"from-file", "", file_}}, {"from-env", {"from-env", "MAYFLY_TEST_SECRET", ""}}});
  }
  Error error(const std::string& name) {
    auto secrets = store();
    auto value = secrets.get(name);
    EXPECT_FALSE(value) << "it was given out";
    return value ? Error{} : value.error();
  }
  fs::path folder_;
  std::string file_;
};

TEST_F(Secrets, FromTheEnvironment) {
  auto secrets = store();
  setenv("MAYFLY_TEST_SECRET", "hunter2\n", 1);
  EXPECT_EQ(secrets.get("from-env").value(), "hunter2\n");
  setenv("MAYFLY_TEST_SECRET", "rotated", 1);
  EXPECT_EQ(secrets.get("from-env").value(), "rotated");
}

TEST_F(Secrets, FromAFileWithoutOneNewlineAndAnewEachTime) {
  auto secrets = store();
  write("hunter2\n");
  EXPECT_EQ(secrets.get("from-file").value(), "hunter2");
  write("two\nlines\n\n", 0400);
  fs::permissions(file_, perms::owner_read);
  EXPECT_EQ(secrets.get("from-file").value(), "two\nlines\n");
}

TEST_F(Secrets, ReplacedFileIsTheNewOne) {
  auto secrets = store();
  write("first value");
  EXPECT_EQ(secrets.get("from-file").value(), "first value");
  fs::remove(file_);
  write("second value");
  EXPECT_EQ(secrets.get("from-file").value(), "second value");
}

TEST_F(Secrets, MissingOnesSayWhereTheyWereLookedFor) {
  EXPECT_EQ(error("other").text(),
            "secret 'other': the configuration has no such secret. Add it under 'secrets:' in mayfly.yaml.");
  EXPECT_EQ(
      error("from-env").text(),
      "secret 'from-env': the daemon's environment has no variable MAYFLY_TEST_SECRET. Set it where the daemon is "
      "started, and start the daemon again.");
  auto missing = error("from-file");
  EXPECT_EQ(missing.code, ErrorCode::not_found);
  EXPECT_EQ(missing.text(),
            "secret 'from-file': cannot open " + file_ +
                ": No such file or directory. Write the value into that file, readable by the daemon's user "
                "alone (chmod 600).");
}

TEST_F(Secrets, FilesOpenToOthersAreRefused) {
  for (mode_t mode : {0640, 0604, 0620, 0602, 0644, 0666}) {
    write("hunter2", mode);
    auto refused = error("from-file");
    EXPECT_EQ(refused.code, ErrorCode::denied) << mode;
    EXPECT_EQ(refused.text(),
              "secret 'from-file': other users may read or change " + file_ + ". Run: chmod 600 " + file_);
  }
}

TEST_F(Secrets, OnlyRegularFiles) {
  ASSERT_EQ(mkfifo(file_.c_str(), 0600), 0);
  EXPECT_EQ(error("from-file").what, file_ + " is not a regular file");  // and it did not hang
  fs::remove(file_);
  fs::create_directory(file_);
  EXPECT_EQ(error("from-file").what, file_ + " is not a regular file");
}

TEST_F(Secrets, LengthAndNul) {
  auto secrets = store();
  for (const char* shorter : {"", "abc", "abc\n"}) {
    write(shorter);
    EXPECT_EQ(error("from-file").what, "the value in " + file_ + " has fewer than 4 bytes");
  }
  setenv("MAYFLY_TEST_SECRET", "abc", 1);
  EXPECT_EQ(error("from-env").what, "the value in the variable MAYFLY_TEST_SECRET has fewer than 4 bytes");
  write("abcd");
  EXPECT_EQ(secrets.get("from-file").value(), "abcd");
  write(std::string(max_secret_length, 'x') + "\n");
  EXPECT_EQ(secrets.get("from-file").value().size(), max_secret_length);
  for (auto more : {max_secret_length + 1, max_secret_length + 2, max_secret_length * 3}) {
    write(std::string(more, 'x'));
    EXPECT_EQ(error("from-file").what, "the value in " + file_ + " has more than 65536 bytes") << more;
  }
  write(std::string("hun\0ter2", 8));
  EXPECT_EQ(error("from-file").code, ErrorCode::invalid);
}

TEST_F(Secrets, ErrorsNeverContainTheValue) {
  for (auto [value, mode] : {std::pair<std::string, mode_t>{"hunter2", 0644},
                             {std::string("hunter\0", 7), 0600},
                             {"hunter\xff", 0600},
                             {std::string(70'000, 'h') + "unter", 0600},
                             {"hun", 0600}}) {
    write(value, mode);
    auto text = error("from-file").text();
    EXPECT_EQ(text.find("hun"), std::string::npos) << text;
    EXPECT_EQ(text.find("hhh"), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace mayfly
