// A job's output: every byte, the right stream, nothing secret, and no more than allowed.
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/mount.h>

#include "agent/test_builder.h"

namespace mayfly::agent {
namespace {

void make_tar_of(int fd, const std::string& data) {
  auto* a = archive_write_new();
  archive_write_set_format_ustar(a);
  archive_write_open_fd(a, fd);
  auto* e = archive_entry_new();
  archive_entry_set_pathname(e, "data");
  archive_entry_set_mode(e, AE_IFREG | 0644);
  archive_entry_set_size(e, static_cast<la_int64_t>(data.size()));
  archive_write_header(a, e);
  archive_write_data(a, data.data(), data.size());
  archive_entry_free(e);
  archive_write_free(a);
}

TEST(AgentOutput, OneLineOfFiftyMegabytes) {
  BUILDER(b);
  TestFiles f;
  auto end = b.run(shell("head -c 52428800 /dev/zero | tr '\\0' x"), f);
  EXPECT_EQ(end.log_bytes, 52428800);
  EXPECT_EQ(f.log_text(), std::string(52428800, 'x'));
  EXPECT_EQ(f.records().back().end, 52428800U);
}

TEST(AgentOutput, BinaryComesThroughUnchanged) {
  BUILDER(b);
  TestFiles f;
  auto a = shell("head -c 1000000 /dev/urandom > data; sha256sum < data >&2; cat data");
  a.secrets = {{"TOKEN", "unlikely-to-occur"}};
  b.run(a, f);
  auto data = f.stream(LogStream::out);
  ASSERT_EQ(data.size(), 1000000U);
  // Sent back through a second builder, it has the sum that the first one saw.
  BUILDER(again);
  TestFiles g;
  make_tar_of(g.input.get(), data);
  auto check = shell("sha256sum < data >&2");
  check.has_input = true;
  again.run(check, g);
  EXPECT_EQ(g.stream(LogStream::err), f.stream(LogStream::err));
}

TEST(AgentOutput, AJobThatClosesItsStreamsRunsOn) {
  BUILDER(b);
  TestFiles f;
  auto end = b.run(shell("echo before; exec >&- 2>&-; sleep 0.1; exit 6"), f);
  EXPECT_EQ(end.result.cause, JobCause::exited);
  EXPECT_EQ(end.result.exit_code, 6);
  EXPECT_EQ(f.log_text(), "before\n");
}

TEST(AgentOutput, LimitIsKeptAndTheJobGoesOn) {
  BUILDER(b);
  TestFiles f;
  auto a = shell("head -c 3000000 /dev/zero | tr '\\0' y; echo; exit 2");
  a.log_limit = 100'000;
  auto end = b.run(a, f);
  EXPECT_EQ(end.result.exit_code, 2);
  EXPECT_TRUE(end.log_truncated);
  EXPECT_EQ(f.stream(LogStream::out), std::string(100'000, 'y'));
  auto remark = f.stream(LogStream::mayfly);
  EXPECT_NE(remark.find("limit"), std::string::npos);
  EXPECT_EQ(end.log_bytes, static_cast<std::int64_t>(100'000 + remark.size()));
}

TEST(AgentOutput, SecretsAreMaskedInBothStreamsAndWhenCut) {
  BUILDER(b);
  TestFiles f;
  auto a = shell(
      "echo \"a $TOKEN b\"; echo \"c $TOKEN d\" >&2; printf '%s' hunter; sleep 0.3; echo 22; printf %s \"$KEY\" | tail "
      "-n 1; printf hunt");
  a.secrets = {{"TOKEN", "hunter22"}, {"KEY", "first line\nsecond line"}};
  b.run(a, f);
  EXPECT_EQ(f.stream(LogStream::out), "a *** b\n***\n***hunt");
  EXPECT_EQ(f.stream(LogStream::err), "c *** d\n");
}

TEST(AgentOutput, SecretsAreMaskedInMessages) {
  BUILDER(b);
  TestFiles f;
  auto a = order({"hunter22"});
  a.secrets = {{"TOKEN", "hunter22"}};
  auto end = b.run(a, f);
  EXPECT_EQ(end.result.message.find("hunter22"), std::string::npos) << end.result.message;
  EXPECT_EQ(read_all(f.result.get()).find("hunter22"), std::string::npos);
}

TEST(AgentOutput, OutputIsReadableWhileTheJobRuns) {
  BUILDER(b);
  TestFiles f;
  b.connect();
  b.expect<Hello>();
  b.assign(shell("echo early; sleep 1000"), f);
  EXPECT_TRUE(eventually([&] { return !f.records().empty() && f.log_text() == "early\n"; }));
}

TEST(AgentOutput, StreamsInTurnsKeepTheirOrderAndNames) {
  BUILDER(b);
  TestFiles f;
  b.run(shell("i=0; while [ $i -lt 300 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done"), f);
  std::string out, err;
  for (int i = 0; i < 300; ++i) out += "o" + std::to_string(i) + "\n", err += "e" + std::to_string(i) + "\n";
  EXPECT_EQ(f.stream(LogStream::out), out);
  EXPECT_EQ(f.stream(LogStream::err), err);
}

// A tmpfs of its own size, gone with the test.
struct SmallDisk {
  SmallDisk() {
    char name[] = "/tmp/mayfly-full-XXXXXX";
    path = ::mkdtemp(name);
    mounted = ::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=1m") == 0;
  }
  ~SmallDisk() {
    if (mounted) ::umount2(path.c_str(), MNT_DETACH);
    std::filesystem::remove(path);
  }
  bool enlarge() const { return ::mount(nullptr, path.c_str(), nullptr, MS_REMOUNT, "size=8m") == 0; }
  std::string path;
  bool mounted = false;
};

TEST(AgentOutput, AFullHostDiskHoldsTheJobAndLosesNothing) {
  SmallDisk disk;
  if (!disk.mounted) GTEST_SKIP() << "this host does not let the test mount a small tmpfs";
  TestFiles f;
  f.log = Fd(::open((disk.path + "/log").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  BUILDER(b);
  b.connect();
  b.expect<Hello>();
  b.assign(shell("head -c 700000 /dev/zero | tr '\\0' a; head -c 900000 /dev/zero | tr '\\0' b; echo end"), f);
  b.expect<Started>();
  ASSERT_TRUE(eventually([&] { return read_all(f.log.get()).size() >= 1'000'000; }));
  EXPECT_EQ(read_all(f.result.get()), "");
  ASSERT_TRUE(disk.enlarge());
  auto end = b.expect<Finished>();
  EXPECT_EQ(end.result.exit_code, 0);
  EXPECT_FALSE(end.log_truncated);
  EXPECT_EQ(f.stream(LogStream::out), std::string(700'000, 'a') + std::string(900'000, 'b') + "end\n");
}

TEST(AgentOutput, CancelDoesNotWaitForAFullHostDisk) {
  SmallDisk disk;
  if (!disk.mounted) GTEST_SKIP() << "this host does not let the test mount a small tmpfs";
  TestFiles f;
  f.log = Fd(::open((disk.path + "/log").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  BUILDER(b);
  b.connect();
  b.expect<Hello>();
  b.assign(shell("head -c 3000000 /dev/zero"), f);
  b.expect<Started>();
  ASSERT_TRUE(eventually([&] { return read_all(f.log.get()).size() == 1U << 20; }));
  b.send(Cancel{7});
  auto end = b.expect<Finished>();
  EXPECT_EQ(end.result.cause, JobCause::cancelled);
  EXPECT_TRUE(end.log_truncated);
}

}  // namespace
}  // namespace mayfly::agent
