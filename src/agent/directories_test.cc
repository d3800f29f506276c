// Directories in and out of a builder.
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>

#include <map>

#include "agent/test_builder.h"

namespace mayfly::agent {
namespace {

struct Item {
  std::string name;
  unsigned type = AE_IFREG;
  std::string data;  // contents, or target
  unsigned mode = 0644;
  bool hard_link = false;
};

void make_tar(int fd, const std::vector<Item>& items) {
  auto* a = archive_write_new();
  archive_write_set_format_gnutar(a);
  archive_write_open_fd(a, fd);
  for (const auto& i : items) {
    auto* e = archive_entry_new();
    archive_entry_set_pathname(e, i.name.c_str());
    archive_entry_set_mode(e, i.type | i.mode);
    archive_entry_set_uid(e, 4242);
    if (i.hard_link)
      archive_entry_set_hardlink(e, i.data.c_str());
    else if (i.type == AE_IFLNK)
      archive_entry_set_symlink(e, i.data.c_str());
    else if (i.type == AE_IFREG)
      archive_entry_set_size(e, static_cast<la_int64_t>(i.data.size()));
    EXPECT_EQ(archive_write_header(a, e), ARCHIVE_OK) << archive_error_string(a);
    if (i.type == AE_IFREG && !i.hard_link) archive_write_data(a, i.data.data(), i.data.size());
    archive_entry_free(e);
  }
  EXPECT_EQ(archive_write_close(a), ARCHIVE_OK);
  archive_write_free(a);
}

std::map<std::string, std::string> list_tar(int fd) {
  std::map<std::string, std::string> out;
  ::lseek(fd, 0, SEEK_SET);
  auto* a = archive_read_new();
  archive_read_support_format_tar(a);
  EXPECT_EQ(archive_read_open_fd(a, fd, 10240), ARCHIVE_OK) << archive_error_string(a);
  archive_entry* e = nullptr;
  for (int r; (r = archive_read_next_header(a, &e)) == ARCHIVE_OK || r == ARCHIVE_WARN;) {
    std::string name = archive_entry_pathname(e), data(static_cast<std::size_t>(archive_entry_size(e)), '\0');
    if (!data.empty()) EXPECT_EQ(archive_read_data(a, data.data(), data.size()), static_cast<la_ssize_t>(data.size()));
    if (archive_entry_filetype(e) == AE_IFLNK) data = std::string("-> ") + archive_entry_symlink(e);
    if (archive_entry_hardlink(e) != nullptr) data = std::string("= ") + archive_entry_hardlink(e);
    if (archive_entry_filetype(e) == AE_IFDIR) data = "/";
    out[name] = data;
  }
  archive_read_free(a);
  return out;
}

TEST(AgentDirectories, RoundTrip) {
  BUILDER(b);
  TestFiles f;
  make_tar(f.input.get(), {{"./", AE_IFDIR, "", 0755},
                           {"src/", AE_IFDIR, "", 0755},
                           {"src/größe.txt", AE_IFREG, "content"},
                           {"run", AE_IFREG, "#!/bin/sh\necho ran\n", 04755},
                           {"link", AE_IFLNK, "src/größe.txt"},
                           {"hard", AE_IFREG, "run", 0644, true}});
  auto a = shell(
      "./run; cat link; stat -c '%u %a' run; mkdir -p out/deep; cp -d src/* link out; ln out/link out/deep/again;"
      "head -c 300000 /dev/zero > out/zeros; mkfifo out/fifo");
  a.has_input = true;
  a.output = "out";
  if (::geteuid() == 0) a.user = "builder";
  auto end = b.run(a, f);
  EXPECT_EQ(end.result.cause, JobCause::exited) << end.result.message;
  EXPECT_EQ(end.result.exit_code, 0) << f.log_text();
  EXPECT_EQ(f.log_text(), ::geteuid() == 0 ? "ran\ncontent1000 755\n" : "ran\ncontent0 755\n");
  auto packed = list_tar(f.output.get());
  EXPECT_EQ(packed["größe.txt"], "content");
  EXPECT_EQ(packed["zeros"], std::string(300000, '\0'));
  EXPECT_EQ(packed["link"], "-> src/größe.txt");
  EXPECT_EQ(packed["deep/"], "/");
  EXPECT_EQ(packed.count("fifo"), 0U);
  EXPECT_EQ(packed.size(), 5U);
}

TEST(AgentDirectories, OtherFormatsAndNamesBeyondAscii) {
  for (std::string format : {"pax", "gnu", "ustar"}) {
    BUILDER(maker);
    TestFiles made;
    auto make = shell("mkdir d; echo hi > d/größe; mkdir -p d/" + std::string(90, 'x') + "/" + std::string(90, 'y') +
                      "; (cd d/x*/y*; echo deep > deep); tar --format=" + format + " -C d -cf - .");
    ASSERT_EQ(maker.run(make, made).result.exit_code, 0) << made.log_text();
    BUILDER(b);
    TestFiles f;
    write_all(f.input.get(), made.log_text());
    auto a = shell("cat größe x*/y*/deep");
    a.has_input = true;
    auto end = b.run(a, f);
    EXPECT_EQ(f.log_text(), "hi\ndeep\n") << format << ": " << end.result.message;
  }
}

TEST(AgentDirectories, AnArchiveThatTriesToLeaveIsRefused) {
  std::vector<std::vector<Item>> hostile{
      {{"../escaped", AE_IFREG, "x"}},
      {{"a/../../escaped", AE_IFREG, "x"}},
      {{"/escaped", AE_IFREG, "x"}},
      {{"way", AE_IFLNK, "/tmp"}, {"way/escaped", AE_IFREG, "x"}},
      {{"hard", AE_IFREG, "../etc/passwd", 0644, true}},
      {{"dev", AE_IFCHR, ""}},
      {{"pipe", AE_IFIFO, ""}},
  };
  for (const auto& items : hostile) {
    BUILDER(b);
    TestFiles f;
    make_tar(f.input.get(), items);
    auto a = order({"true"});
    a.has_input = true;
    auto end = b.run(a, f);
    EXPECT_EQ(end.result.cause, JobCause::input_failed) << items.back().name;
    EXPECT_EQ(end.started_at, Time());
    auto root = "/proc/" + std::to_string(b.pid()) + "/root";
    EXPECT_FALSE(std::filesystem::exists(root + "/escaped")) << items.back().name;
    EXPECT_FALSE(std::filesystem::exists(root + "/tmp/escaped")) << items.back().name;
  }
}

TEST(AgentDirectories, NamesThatAreNoTextDoNotSpoilTheResult) {
  {
    BUILDER(b);
    TestFiles f;
    make_tar(f.input.get(), {{"../bad\xff\nname", AE_IFREG, "x"}});
    auto a = order({"true"});
    a.has_input = true;
    EXPECT_EQ(b.run(a, f).result.cause, JobCause::input_failed);
  }
  BUILDER(b);
  TestFiles f;
  make_tar(f.input.get(), {{"run", AE_IFREG, "#!/opt/\xff\xfe/sh\n", 0755}});
  auto a = order({"./run"});
  a.has_input = true;
  auto end = b.run(a, f);
  EXPECT_EQ(end.result.cause, JobCause::command_not_found);
  EXPECT_NE(end.result.message.find("/opt/?"
                                    "?/sh"),
            std::string::npos)
      << end.result.message;
}

TEST(AgentDirectories, BrokenAndEmptyArchives) {
  {
    BUILDER(b);
    TestFiles f;
    write_all(f.input.get(), std::string(5000, 'z'));
    auto a = order({"true"});
    a.has_input = true;
    auto end = b.run(a, f);
    EXPECT_EQ(end.result.cause, JobCause::input_failed);
    EXPECT_FALSE(end.result.message.empty());
  }
  BUILDER(b);
  TestFiles f;
  auto a = order({"true"});
  a.has_input = true;
  EXPECT_EQ(b.run(a, f).result.cause, JobCause::exited);
}

TEST(AgentDirectories, UnpackingCanBeCancelledAndHasALimit) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  Fd never_ending(ends[1]);
  for (bool cancel : {true, false}) {
    BUILDER(b);
    TestFiles f;
    f.input = Fd(::dup(ends[0]));  // nothing ever comes
    auto a = order({"true"});
    a.has_input = true;
    if (!cancel) a.timeout = milliseconds(100);
    b.connect();
    b.expect<Hello>();
    b.assign(a, f);
    if (cancel) b.send(Cancel{7});
    auto end = b.expect<Finished>();
    EXPECT_EQ(end.result.cause, cancel ? JobCause::cancelled : JobCause::input_failed) << end.result.message;
    EXPECT_EQ(end.started_at, Time());
  }
  ::close(ends[0]);
}

TEST(AgentDirectories, AnArchiveLargerThanTheDiskSaysSo) {
  BUILDER(b, ({.disk = "4m"}));
  TestFiles f;
  make_tar(f.input.get(), {{"big", AE_IFREG, std::string(8 << 20, 'b')}});
  auto a = order({"true"});
  a.has_input = true;
  auto end = b.run(a, f);
  EXPECT_EQ(end.result.cause, JobCause::input_failed);
  EXPECT_NE(end.result.message.find("No space left"), std::string::npos) << end.result.message;
}

TEST(AgentDirectories, AMissingOutputFailsOnlyAJobThatSucceeded) {
  {
    BUILDER(b);
    TestFiles f;
    auto a = order({"true"});
    a.output = "dist";
    auto end = b.run(a, f);
    EXPECT_EQ(end.result.cause, JobCause::output_failed);
    EXPECT_NE(end.result.message.find("'dist'"), std::string::npos) << end.result.message;
  }
  BUILDER(b);
  TestFiles f;
  auto a = order({"false"});
  a.output = "dist";
  auto end = b.run(a, f);
  EXPECT_EQ(end.result.cause, JobCause::exited);
  EXPECT_EQ(end.result.exit_code, 1);
  EXPECT_NE(end.result.message.find("'dist'"), std::string::npos) << end.result.message;
}

TEST(AgentDirectories, AFailedJobsOutputIsPackedToo) {
  BUILDER(b);
  TestFiles f;
  write_all(f.output.get(), std::string(100'000, 'r'));  // remains of an earlier attempt
  write_all(f.result.get(), std::string(5'000, 'r'));
  auto a = shell("mkdir /tmp/reports; echo bad > /tmp/reports/log; exit 1");
  a.output = "/tmp/reports";
  auto end = b.run(a, f);
  EXPECT_EQ(end.result.exit_code, 1);
  EXPECT_EQ(list_tar(f.output.get()), (std::map<std::string, std::string>{{"log", "bad\n"}}));
  EXPECT_LT(read_all(f.output.get()).size(), 20'000U);
  EXPECT_TRUE(decode_result(read_all(f.result.get())));
}

}  // namespace
}  // namespace mayfly::agent
