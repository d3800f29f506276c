#include "os/process.h"

#include <signal.h>

#include <gtest/gtest.h>

namespace mayfly::os {
namespace {

using std::chrono::steady_clock;

TEST(Process, OutputErrorAndExitCode) {
  auto done = run({.argv = {"sh", "-c", "cat; echo problem >&2; exit 3"}, .input = "hello"});
  ASSERT_TRUE(done) << done.error().text();
  EXPECT_EQ(done->exit_code, 3);
  EXPECT_EQ(done->out, "hello");
  EXPECT_EQ(done->last_error_line(), "problem");
}

TEST(Process, LargeInputAndOutputAtOnceDoNotBlock) {
  const std::string text(3 << 20, 'x');
  auto done = run({.argv = {"cat"}, .input = text});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->out, text);
}

TEST(Process, InputThatNobodyReadsIsNoFailure) {
  auto done = run({.argv = {"true"}, .input = std::string(3 << 20, 'x')});
  ASSERT_TRUE(done);
  EXPECT_TRUE(done->ok());
}

TEST(Process, KeepsTheHeadOfOutAndTheTailOfErr) {
  auto done = run({.argv = {"sh", "-c", "printf abcdef; printf uvwxyz >&2"}, .out_limit = 3, .err_limit = 3});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->out, "abc");
  EXPECT_EQ(done->err, "xyz");
  EXPECT_TRUE(done->out_truncated && done->err_truncated);
}

TEST(Process, DeadlineKillsTheWholeGroup) {
  auto done =
      run({.argv = {"sh", "-c", "sleep 1000 & wait"}, .deadline = steady_clock::now() + std::chrono::milliseconds(50)});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::timeout);
}

TEST(Process, ChildThatKeepsThePipeIsNotWaitedFor) {
  auto done = run({.argv = {"sh", "-c", "sleep 1000 & echo $!"}});
  ASSERT_TRUE(done);
  EXPECT_EQ(kill(std::stoi(done->out), SIGKILL), 0);
}

TEST(Process, SignalIsReported) {
  auto done = run({.argv = {"sh", "-c", "kill -9 $$"}});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->signal, SIGKILL);
  EXPECT_EQ(done->exit_code, 137);
}

TEST(Process, UnknownProgramSaysSo) {
  auto done = run({.argv = {"mayfly-no-such-program"}});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, ErrorCode::unsupported);
  EXPECT_EQ(done.error().where, "mayfly-no-such-program");
}

TEST(Process, EnvironmentIsReplacedAndDirectoryUsed) {
  auto done = run({.argv = {"sh", "-c", "echo $HOME; pwd"}, .env = {"HOME=/somewhere"}, .directory = "/"});
  ASSERT_TRUE(done);
  EXPECT_EQ(done->out, "/somewhere\n/\n");
}

}  // namespace
}  // namespace mayfly::os
