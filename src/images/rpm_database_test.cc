#include "images/rpm_database.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "images/rpm_header_test.h"
#include "os/file.h"
#include "os/process.h"

namespace mayfly::images {
namespace {

namespace fs = std::filesystem;

const std::string bash = header_of({{63, 7, std::string(16, 'x')},
                                    {1000, 6, text("bash")},
                                    {1001, 6, text("5.1.8")},
                                    {1002, 6, text("9.el9")},
                                    {1003, 4, big_endian(2)},
                                    {1014, 6, text("GPLv3+")},
                                    {1022, 6, text("x86_64")}});

TEST(RpmDatabaseTest, AHeaderNamesItsPackage) {
  auto p = parse_rpm_header(bash);
  ASSERT_TRUE(p) << p.error().text();
  EXPECT_EQ(*p, (Package{"rpm", "bash", "2:5.1.8-9.el9", "x86_64", "GPLv3+"}));
  p = parse_rpm_header(header_of({{1000, 6, text("a")}, {1001, 6, text("1")}, {1002, 6, text("2")}}));
  ASSERT_TRUE(p);
  EXPECT_EQ(*p, (Package{"rpm", "a", "1-2", "", ""}));
}

TEST(RpmDatabaseTest, WhatIsCutOrTwistedIsRefusedOrReadAndNeverReadBeyond) {
  for (std::size_t n = 0; n < bash.size(); ++n) {
    const std::string cut = bash.substr(0, n);  // its own buffer: AddressSanitizer sees what lies beyond
    EXPECT_FALSE(parse_rpm_header(cut)) << n;
  }
  for (std::size_t at = 0; at < bash.size(); ++at)
    for (unsigned char byte : {0x00, 0x7f, 0x80, 0xff}) {
      auto twisted = bash;
      twisted[at] = static_cast<char>(byte);
      if (auto p = parse_rpm_header(twisted)) EXPECT_FALSE(p->name.empty());
    }
  EXPECT_FALSE(parse_rpm_header(std::string(16, '\xff')));
  // A name that does not end, a version that lies outside, a text that is a number.
  EXPECT_FALSE(parse_rpm_header(header_of({{1001, 6, text("1")}, {1002, 6, text("2")}, {1000, 6, "endless"}})));
  EXPECT_FALSE(parse_rpm_header(header_of({{1000, 4, big_endian(7)}, {1001, 6, text("1")}, {1002, 6, text("2")}})));
}

class RealRpmTest : public ::testing::Test {
 protected:
  RealRpmTest() {
    char name[] = "/tmp/mfrpmXXXXXX";
    folder = ::mkdtemp(name);
  }
  ~RealRpmTest() override { fs::remove_all(folder); }
  std::string shell(const std::string& script) {
    auto done = os::run({.argv = {"/bin/sh", "-ec", "cd " + folder + "; " + script},
                         .deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2)});
    if (!done) return done.error().text();
    return done->ok() ? "" : done->out + done->err;
  }
  std::string folder;
};

TEST_F(RealRpmTest, TheDatabaseOfRpmItself) {
  if (!shell("command -v rpm rpmbuild").empty()) GTEST_SKIP() << "rpm is not installed: apt-get install rpm";
  std::ofstream(folder + "/tiny.spec") << "Name: tiny\nVersion: 2.4\nRelease: 3\nEpoch: 1\nSummary: Tiny\n"
                                          "License: MIT and BSD\nBuildArch: noarch\n%description\nTiny.\n"
                                          "%package more\nSummary: More\n%description more\nMore.\n"
                                          "%files\n%files more\n";
  ASSERT_EQ(shell("export HOME=$PWD; rpmbuild --define \"_topdir $PWD/top\" -bb tiny.spec && "
                  "rpm --root $PWD/root --dbpath /db --define '_db_backend sqlite' --nodeps --force-debian -i "
                  "top/RPMS/noarch/*.rpm"),
            "");
  auto bytes = os::read_file(folder + "/root/db/rpmdb.sqlite", 64 << 20);
  ASSERT_TRUE(bytes) << bytes.error().text();
  auto wal = os::read_file(folder + "/root/db/rpmdb.sqlite-wal", 64 << 20).value_or("");
  auto packages = read_rpm_database(*bytes, wal, folder);
  ASSERT_TRUE(packages) << packages.error().text();
  ASSERT_EQ(packages->size(), 2u);
  std::sort(packages->begin(), packages->end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  EXPECT_EQ((*packages)[0], (Package{"rpm", "tiny", "1:2.4-3", "noarch", "MIT and BSD"}));
  EXPECT_EQ((*packages)[1].name, "tiny-more");
  // Half a file is an error or fewer packages, never a crash, and leaves nothing behind.
  for (std::size_t part : {0u, 1u, 3u, 7u})
    (void)read_rpm_database(bytes->substr(0, bytes->size() * part / 8), "", folder);
  for (const auto& entry : fs::directory_iterator(folder))
    EXPECT_FALSE(entry.path().filename().string().starts_with(".rpm-")) << entry.path();
}

TEST_F(RealRpmTest, WhatIsNoSuchDatabaseIsSaid) {
  EXPECT_FALSE(read_rpm_database("no database", "", folder));
  EXPECT_FALSE(read_rpm_database("", "", folder)) << "without the table";
}

}  // namespace
}  // namespace mayfly::images
