// The smaller parts: the log on disk, frames, the command line, the OOM counter.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "agent/connection.h"
#include "agent/log_writer.h"
#include "agent/options.h"
#include "agent/plain_text.h"
#include "agent/settings.h"
#include "agent/watch.h"

namespace mayfly::agent {
namespace {

std::string contents(int fd) {
  std::string out(1U << 20, '\0');
  auto n = ::pread(fd, out.data(), out.size(), 0);
  out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return out;
}

struct LogFiles {
  Fd log{::memfd_create("log", MFD_CLOEXEC)}, index{::memfd_create("index", MFD_CLOEXEC)};
  LogWriter writer(std::int64_t limit) const { return {Fd(::dup(log.get())), Fd(::dup(index.get())), limit}; }
  std::vector<LogRecord> records() const {
    auto bytes = contents(index.get());
    std::vector<LogRecord> out;
    for (std::size_t i = 0; i + LogRecord::size <= bytes.size(); i += LogRecord::size)
      out.push_back(decode_log_record(reinterpret_cast<const unsigned char*>(bytes.data()) + i));
    return out;
  }
};

TEST(LogWriter, RecordsCoverTheBytesInOrder) {
  LogFiles files;
  auto w = files.writer(0);
  w.append(LogStream::out, "hello ", {});
  w.append(LogStream::err, "world", {});
  EXPECT_EQ(contents(files.log.get()), "hello world");
  auto r = files.records();
  ASSERT_EQ(r.size(), 2U);
  EXPECT_EQ(r[0].end, 6U);
  EXPECT_EQ(r[0].stream, LogStream::out);
  EXPECT_EQ(r[1].end, 11U);
  EXPECT_EQ(r[1].stream, LogStream::err);
  EXPECT_FALSE(w.truncated());
}

TEST(LogWriter, AtTheLimitOneRemarkAndNoMore) {
  LogFiles files;
  auto w = files.writer(8);
  w.append(LogStream::out, "12345", {});
  w.append(LogStream::out, "6789", {});
  w.append(LogStream::err, "more", {});
  auto log = contents(files.log.get());
  EXPECT_EQ(log.substr(0, 9), "12345678\n");
  EXPECT_NE(log.find("limit"), std::string::npos);
  EXPECT_EQ(log.find("9"), std::string::npos);
  auto r = files.records();
  ASSERT_EQ(r.size(), 3U);
  EXPECT_EQ(r[2].stream, LogStream::mayfly);
  EXPECT_EQ(r[2].end, log.size());
  EXPECT_TRUE(w.truncated());
}

TEST(LogWriter, ExactlyTheLimitIsNotTruncated) {
  LogFiles files;
  auto w = files.writer(4);
  w.append(LogStream::out, "1234", {});
  EXPECT_FALSE(w.truncated());
}

TEST(LogWriter, AFullDiskKeepsEveryByteUntilThereIsRoom) {
  Fd full(::open("/dev/full", O_RDWR | O_CLOEXEC));
  LogFiles files;
  int target = ::dup(files.log.get());
  ASSERT_EQ(::dup3(full.get(), target, O_CLOEXEC), target);
  LogWriter w(Fd(target), Fd(::dup(files.index.get())), 0);
  Instant now{};
  w.append(LogStream::out, "first ", now);
  w.append(LogStream::err, "second", now);
  EXPECT_TRUE(w.blocked());
  w.retry(now);
  EXPECT_TRUE(w.blocked());
  EXPECT_GT(w.retry_at(), now);
  ASSERT_EQ(::dup3(files.log.get(), target, O_CLOEXEC), target);  // room again
  w.retry(now);
  EXPECT_FALSE(w.blocked());
  EXPECT_EQ(contents(files.log.get()), "first second");
  ASSERT_EQ(files.records().size(), 2U);
  EXPECT_EQ(files.records()[0].end, 6U);
  EXPECT_FALSE(w.truncated());
}

TEST(LogWriter, AnotherFailureIsNotRetried) {
  LogFiles files;
  LogWriter w(Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)), Fd(::dup(files.index.get())), 0);
  w.append(LogStream::out, "x", {});
  EXPECT_FALSE(w.blocked());
  EXPECT_NE(w.broken(), 0);
  EXPECT_TRUE(w.truncated());
}

TEST(FrameBuffer, CutsAnywhere) {
  auto bytes = frame("one") + frame("") + frame("three");
  FrameBuffer b;
  std::vector<std::string> got;
  for (char c : bytes) {
    b.add({&c, 1});
    while (auto f = b.next().value()) got.push_back(*f);
  }
  EXPECT_EQ(got, (std::vector<std::string>{"one", "", "three"}));
}

TEST(FrameBuffer, ALengthBeyondTheLimitIsAnError) {
  FrameBuffer b;
  b.add(std::string_view("\xff\xff\xff\x7f", 4));
  EXPECT_FALSE(b.next());
}

TEST(Settings, ReadsFlagsAndRefusesOthers) {
  const char* good[] = {agent_path, listen_fd_flag, "3",         oom_fd_flag,     "4", orphan_grace_flag,
                        "250",      hostname_flag,  "general-1", seccomp_fd_flag, "6"};
  auto s = parse_settings(11, good).value();
  EXPECT_EQ(s.listen_fd, 3);
  EXPECT_EQ(s.oom_fd, 4);
  EXPECT_EQ(s.hold_fd, -1);
  EXPECT_EQ(s.seccomp_fd, 6);
  EXPECT_EQ(s.orphan_grace, milliseconds(250));
  EXPECT_EQ(s.hostname, "general-1");
  const char* missing[] = {agent_path, oom_fd_flag, "4"};
  EXPECT_FALSE(parse_settings(3, missing));
  const char* unknown[] = {agent_path, listen_fd_flag, "3", "--what", "4"};
  EXPECT_FALSE(parse_settings(5, unknown));
  const char* no_number[] = {agent_path, listen_fd_flag, "3x"};
  EXPECT_FALSE(parse_settings(3, no_number));
  const char* no_value[] = {agent_path, listen_fd_flag};
  EXPECT_FALSE(parse_settings(2, no_value));
}

TEST(PlainText, IsValidShortAndOnOneLine) {
  EXPECT_EQ(plain_text("größe 漢 🙂", 100), "größe 漢 🙂");
  EXPECT_EQ(plain_text("a\nb\tc\x7f", 100), "a b c ");
  EXPECT_EQ(plain_text("\xff\xc0\x80\xed\xa0\x80\xf4\x90\x80\x80\xe6\xbc", 100), std::string(12, '?'));
  EXPECT_EQ(plain_text("ab漢", 4), "ab");
}

TEST(OomKills, BothSpellings) {
  EXPECT_EQ(parse_oom_kills("low 0\nhigh 0\nmax 12\noom 2\noom_kill 3\noom_group_kill 9\n"), 3U);
  EXPECT_EQ(parse_oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), 1U);
  EXPECT_EQ(parse_oom_kills("oom_kill_disable 0\nunder_oom 0\n"), std::nullopt);
}

}  // namespace
}  // namespace mayfly::agent
