#include "cli/tar.h"

#include <archive.h>
#include <archive_entry.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "cli/fake_daemon.h"

namespace mayfly {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

struct MemoryFile {
  MemoryFile() : fd(::memfd_create("tar", MFD_CLOEXEC)) {}
  ~MemoryFile() { ::close(fd); }
  void rewind() const { ::lseek(fd, 0, SEEK_SET); }
  int fd;
};

std::string content(const std::string& file) {
  std::ifstream in(file);
  std::stringstream s;
  s << in.rdbuf();
  return s.str();
}

TEST(Tar, ComesBackAsItWas) {
  TempDir from, to;
  fs::create_directories(from.path + "/a/empty");
  std::ofstream(from.path + "/a/run.sh") << "#!/bin/sh\n";
  fs::permissions(from.path + "/a/run.sh", fs::perms(0750));
  std::ofstream(from.path + "/" + std::string(150, 'n')) << "long";
  std::ofstream(from.path + "/.git") << "hidden too";
  fs::create_symlink("a/run.sh", from.path + "/link");
  fs::create_symlink("/nowhere", from.path + "/dangling");
  std::ofstream(from.path + "/sparse") << "x";
  fs::resize_file(from.path + "/sparse", 1 << 20);
  MemoryFile tar;
  auto packed = pack_tar(from.path + "/", tar.fd, 1 << 30);
  ASSERT_TRUE(packed) << packed.error().text();
  tar.rewind();
  auto unpacked = unpack_tar(tar.fd, to.path + "/new/dir");
  ASSERT_TRUE(unpacked) << unpacked.error().text();
  auto at = to.path + "/new/dir/";
  EXPECT_EQ(content(at + "a/run.sh"), "#!/bin/sh\n");
  EXPECT_EQ(fs::status(at + "a/run.sh").permissions(), fs::perms(0750));
  EXPECT_TRUE(fs::is_directory(at + "a/empty"));
  EXPECT_EQ(content(at + std::string(150, 'n')), "long");
  EXPECT_EQ(content(at + ".git"), "hidden too");
  EXPECT_EQ(fs::read_symlink(at + "link"), "a/run.sh");
  EXPECT_EQ(fs::read_symlink(at + "dangling"), "/nowhere");
  EXPECT_EQ(content(at + "sparse"), "x" + std::string((1 << 20) - 1, '\0'));
}

TEST(Tar, NamesNobody) {
  TempDir from;
  std::ofstream(from.path + "/f") << "x";
  MemoryFile tar;
  ASSERT_TRUE(pack_tar(from.path, tar.fd, 1 << 20));
  tar.rewind();
  auto* a = archive_read_new();
  archive_read_support_format_tar(a);
  ASSERT_EQ(archive_read_open_fd(a, tar.fd, 10240), ARCHIVE_OK);
  archive_entry* e = nullptr;
  ASSERT_EQ(archive_read_next_header(a, &e), ARCHIVE_OK);
  EXPECT_STREQ(archive_entry_pathname(e), "f");
  EXPECT_EQ(archive_entry_uid(e), 0);
  const char* user = archive_entry_uname(e);
  EXPECT_TRUE(user == nullptr || *user == 0);
  archive_read_free(a);
}

TEST(Tar, KeepsToItsLimit) {
  TempDir from;
  std::ofstream(from.path + "/f") << std::string(2 << 20, 'x');
  MemoryFile tar;
  auto packed = pack_tar(from.path, tar.fd, 1 << 20);
  ASSERT_FALSE(packed);
  EXPECT_EQ(packed.error().code, ErrorCode::exhausted);
  EXPECT_THAT(packed.error().text(), HasSubstr("more than 1.0 MiB"));
  EXPECT_FALSE(pack_tar(from.path + "/f", tar.fd, 1 << 20)) << "a file is no directory";
}

// An archive of one entry, as a job out to do harm would make it.
MemoryFile& hostile(MemoryFile& tar, const char* name, unsigned type, const char* link = nullptr, unsigned mode = 0644,
                    bool hard = false) {
  auto* a = archive_write_new();
  archive_write_set_format_pax(a);
  archive_write_open_fd(a, tar.fd);
  auto* e = archive_entry_new();
  archive_entry_set_pathname(e, name);
  archive_entry_set_filetype(e, type);
  archive_entry_set_perm(e, static_cast<mode_t>(mode));
  archive_entry_set_size(e, type == AE_IFREG && !hard ? 4 : 0);
  if (hard)
    archive_entry_set_hardlink(e, link);
  else if (link)
    archive_entry_set_symlink(e, link);
  archive_write_header(a, e);
  if (type == AE_IFREG && !hard) archive_write_data(a, "evil", 4);
  archive_entry_free(e);
  archive_write_free(a);
  tar.rewind();
  return tar;
}

TEST(Tar, LetsNothingOut) {
  TempDir to;
  auto inside = to.path + "/in";
  fs::create_directories(inside);
  std::ofstream(to.path + "/target") << "good";
  fs::create_symlink(to.path, inside + "/out");
  for (const char* name : {"../target", "a/../../target", "/tmp/mayfly-evil", "out/target"}) {
    MemoryFile tar;
    EXPECT_FALSE(unpack_tar(hostile(tar, name, AE_IFREG).fd, inside)) << name;
  }
  MemoryFile tar;
  EXPECT_FALSE(unpack_tar(hostile(tar, "hard", AE_IFREG, "../target", 0644, true).fd, inside));
  EXPECT_EQ(content(to.path + "/target"), "good");
  EXPECT_FALSE(fs::exists("/tmp/mayfly-evil"));
}

TEST(Tar, MakesNoDevicesAndNoSetUserId) {
  TempDir to;
  MemoryFile device, program;
  auto unpacked = unpack_tar(hostile(device, "fifo", AE_IFIFO).fd, to.path);
  ASSERT_TRUE(unpacked) << unpacked.error().text();
  EXPECT_EQ(unpacked->left_out, std::vector<std::string>{"fifo"});
  EXPECT_FALSE(fs::exists(to.path + "/fifo"));
  ASSERT_TRUE(unpack_tar(hostile(program, "su", AE_IFREG, nullptr, 06755).fd, to.path));
  EXPECT_EQ(fs::status(to.path + "/su").permissions(), fs::perms(0755));
}

TEST(Tar, RefusesAHalf) {
  TempDir from, to;
  std::ofstream(from.path + "/f") << std::string(1 << 20, 'x');
  MemoryFile tar;
  ASSERT_TRUE(pack_tar(from.path, tar.fd, 1 << 30));
  ASSERT_EQ(::ftruncate(tar.fd, 500'000), 0);
  tar.rewind();
  EXPECT_FALSE(unpack_tar(tar.fd, to.path));
}

}  // namespace
}  // namespace mayfly
