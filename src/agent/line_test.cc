// The line to the daemon: what a restarted daemon, a second order or nobody at all gets.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/options.h"
#include "agent/test_builder.h"
#include "base/text.h"

namespace mayfly::agent {
namespace {

TEST(AgentLine, HelloTellsTheStateAtEveryConnection) {
  BUILDER(b);
  TestFiles f;
  b.connect();
  auto hello = b.expect<Hello>();
  EXPECT_EQ(hello.version, protocol_version);
  EXPECT_EQ(hello.job, 0U);
  b.assign(shell("echo one; while [ ! -s go ]; do sleep 0.01; done"), f);
  auto started = b.expect<Started>();
  b.connect();  // a new daemon; the old line is simply replaced
  hello = b.expect<Hello>();
  EXPECT_EQ(hello.job, 7U);
  EXPECT_EQ(hello.started_at, started.at);
  EXPECT_FALSE(hello.finished);
  b.send(Cancel{7});
  auto end = b.expect<Finished>();
  b.disconnect();
  b.connect();
  hello = b.expect<Hello>();
  ASSERT_TRUE(hello.finished);
  EXPECT_EQ(encode_result(*hello.finished), encode_result(end));
}

TEST(AgentLine, TheNewestConnectionWins) {
  BUILDER(b);
  b.connect();
  b.expect<Hello>();
  auto old = b.take_line();
  b.connect();
  b.expect<Hello>();
  char byte = 0;
  EXPECT_EQ(::recv(old.get(), &byte, 1, 0), 0) << "the old line must be closed";
  b.send(Release{});
  EXPECT_TRUE(b.wait_exit());
}

TEST(AgentLine, TheSameOrderTwiceRunsOnce) {
  BUILDER(b);
  TestFiles f;
  b.connect();
  b.expect<Hello>();
  auto a = shell("echo once; sleep 1000");
  b.assign(a, f);
  b.assign(a, f);
  b.expect<Started>();
  EXPECT_EQ(b.expect<Hello>().job, 7U);
  ASSERT_TRUE(eventually([&] { return f.log_text() == "once\n"; }));
  b.send(Cancel{7});
  b.expect<Finished>();
  EXPECT_EQ(f.log_text(), "once\n");
  b.assign(a, f);
  auto hello = b.expect<Hello>();
  EXPECT_TRUE(hello.finished);
  EXPECT_EQ(f.log_text(), "once\n");
}

// An order on a new line, which is to begin when it is told.
void hold(TestBuilder& b, Assign order, const TestFiles& files) {
  b.connect();
  b.expect<Hello>();
  order.hold = true;
  b.assign(order, files);
}

TEST(AgentLine, AHeldOrderBeginsOnlyWhenItIsTold) {
  BUILDER(b);
  TestFiles f;
  hold(b, shell("echo ran"), f);
  b.send(Cancel{7});
  EXPECT_EQ(b.expect<Refused>().job, 7U) << "it does not have the job yet";
  EXPECT_EQ(f.log_text(), "");
  b.send(Begin{8});
  EXPECT_EQ(b.expect<Refused>().job, 8U);
  b.send(Begin{7});
  EXPECT_NE(b.expect<Started>().at, Time());
  auto end = b.expect<Finished>();
  EXPECT_EQ(final_state(end.result), JobState::succeeded) << end.result.message;
  EXPECT_EQ(f.log_text(), "ran\n");
}

TEST(AgentLine, AHeldOrderIsForgottenWithItsLine) {
  BUILDER(b);
  TestFiles f, g;
  hold(b, shell("echo held"), f);
  b.send(Cancel{7});
  b.expect<Refused>();
  EXPECT_NE(b.children(), "") << "it stands by";
  b.connect();
  EXPECT_EQ(b.expect<Hello>().job, 0U);
  EXPECT_EQ(b.children(), "");
  b.send(Begin{7});
  b.expect<Refused>();
  b.assign(order({"echo", "other"}, 8), g);  // a daemon that knows nothing of the first
  b.expect<Started>();
  EXPECT_EQ(b.expect<Finished>().job, 8U);
  EXPECT_EQ(f.log_text(), "");
  EXPECT_EQ(g.log_text(), "other\n");
}

// What /proc says of the process that stands by.
std::string of_standby(const TestBuilder& b, const char* what) {
  Fd fd(::open(("/proc/" + std::string(trim(b.children())) + "/" + what).c_str(), O_RDONLY | O_CLOEXEC));
  return fd ? read_all(fd.get()) : "";
}

bool stands(const TestBuilder& b) { return of_standby(b, "stat").find(") t ") != std::string::npos; }

TEST(AgentLine, AHeldOrderRunsAheadUntilItsFirstAct) {
  BUILDER(b);
  TestFiles f;
  hold(b, shell("echo ran > file; cat file"), f);
  ASSERT_TRUE(eventually([&] { return stands(b) && of_standby(b, "maps").find("/libc") != std::string::npos; }));
  EXPECT_NE(::access(("/proc/" + std::to_string(b.pid()) + "/root" + workspace_path + "/file").c_str(), F_OK), 0);
  b.send(Begin{7});
  b.expect<Started>();
  EXPECT_EQ(final_state(b.expect<Finished>().result), JobState::succeeded);
  EXPECT_EQ(f.log_text(), "ran\n");
}

TEST(AgentLine, AHeldOrderThatOnlyComputesGoesOnWhenItBegins) {
  BUILDER(b);
  TestFiles f;
  hold(b, shell("while :; do :; done"), f);
  ASSERT_TRUE(eventually([&] { return of_standby(b, "maps").find("/libc") != std::string::npos && !stands(b); }));
  b.send(Begin{7});
  b.expect<Started>();
  b.send(Cancel{7});
  EXPECT_EQ(b.expect<Finished>().result.cause, JobCause::cancelled);
}

TEST(AgentLine, AHeldOrderWhoseProcessIsKilledStartsAnother) {
  BUILDER(b);
  TestFiles f;
  hold(b, shell("echo ran"), f);
  ASSERT_TRUE(eventually([&] { return stands(b); }));
  ASSERT_EQ(::kill(std::stoi(b.children()), SIGKILL), 0);
  ASSERT_TRUE(eventually([&] { return b.children().empty(); }));
  b.send(Begin{7});
  b.expect<Started>();
  EXPECT_EQ(final_state(b.expect<Finished>().result), JobState::succeeded);
  EXPECT_EQ(f.log_text(), "ran\n");
}

TEST(AgentLine, AHeldOrderThatFailsByItselfFailsWhenItBegins) {
  BUILDER(b);
  TestFiles f;
  hold(b, shell("kill -SEGV $$"), f);
  ASSERT_TRUE(eventually([&] { return stands(b); }));
  b.send(Begin{7});
  b.expect<Started>();
  auto end = b.expect<Finished>();
  EXPECT_EQ(end.result.cause, JobCause::signalled) << end.result.message;
  EXPECT_EQ(end.result.signal, SIGSEGV);
}

TEST(AgentLine, WhatFailsInAHeldOrderIsToldWhenItBegins) {
  BUILDER(b);
  TestFiles f;
  hold(b, order({"no-such-program"}), f);
  b.send(Begin{7});
  auto end = b.expect<Finished>();
  EXPECT_EQ(end.result.cause, JobCause::command_not_found) << end.result.message;
}

TEST(AgentLine, ASecondJobIsRefusedEvenAfterTheFirst) {
  BUILDER(b);
  TestFiles f, g;
  b.run(order({"true"}), f);
  b.assign(order({"echo", "second"}, 8), g);
  auto refused = b.expect<Refused>();
  EXPECT_EQ(refused.job, 8U);
  EXPECT_NE(refused.why.find("job 7"), std::string::npos);
  EXPECT_EQ(g.log_text(), "");
}

TEST(AgentLine, AnOrderWithoutItsDescriptorsIsRefused) {
  BUILDER(b);
  b.connect();
  b.expect<Hello>();
  b.send(order({"true"}));
  EXPECT_EQ(b.expect<Refused>().job, 7U);
  TestFiles f;
  b.assign(order({"true"}), f);  // and costs the builder nothing
  b.expect<Started>();
}

TEST(AgentLine, OrdersThatFollowOtherMessagesKeepTheirDescriptors) {
  BUILDER(b);
  TestFiles f;
  b.connect();
  b.expect<Hello>();
  for (int i = 0; i < 20; ++i) b.send(Cancel{99});  // most likely read together with what follows
  b.assign(order({"echo", "fine"}), f);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(b.expect<Refused>().job, 99U);
  b.expect<Started>();
  b.expect<Finished>();
  EXPECT_EQ(f.log_text(), "fine\n");
}

TEST(AgentLine, ResultIsWrittenThoughNobodyIsConnected) {
  BUILDER(b);
  TestFiles f;
  b.connect();
  b.expect<Hello>();
  b.assign(shell("sleep 0.1; echo alone; exit 9"), f);
  b.expect<Started>();
  b.disconnect();
  ASSERT_TRUE(eventually([&] { return decode_result(read_all(f.result.get())).has_value(); }));
  EXPECT_EQ(decode_result(read_all(f.result.get()))->result.exit_code, 9);
  EXPECT_EQ(f.log_text(), "alone\n");
}

TEST(AgentLine, AnOrderWhoseDaemonDiedRightAfterIsServed) {
  BUILDER(b);
  TestFiles f;
  b.connect();
  b.expect<Hello>();
  b.assign(shell("echo served"), f);
  b.disconnect();
  EXPECT_TRUE(eventually([&] { return decode_result(read_all(f.result.get())).has_value(); }));
  EXPECT_EQ(f.log_text(), "served\n");
}

TEST(AgentLine, ReleaseEndsIt) {
  BUILDER(b);
  TestFiles f;
  b.connect();
  b.expect<Hello>();
  b.assign(order({"sleep", "1000"}), f);
  b.expect<Started>();
  b.send(Release{});
  EXPECT_EQ(b.expect<Refused>().job, 7U);  // not while the job runs
  b.send(Cancel{7});
  b.expect<Finished>();
  b.send(Release{});
  auto status = b.wait_exit();
  ASSERT_TRUE(status);
  EXPECT_TRUE(WIFEXITED(*status));
  EXPECT_EQ(WEXITSTATUS(*status), exit_released);
}

TEST(AgentLine, NobodyComesSoItGoes) {
  BUILDER(b, ({.orphan_grace_ms = 50}));
  EXPECT_TRUE(b.wait_exit());
}

TEST(AgentLine, AnOrphanedJobEndsBeforeItsAgentGoes) {
  BUILDER(b, ({.orphan_grace_ms = 500}));
  TestFiles f;
  b.connect();
  b.expect<Hello>();
  b.assign(shell("sleep 0.7; echo done"), f);
  b.expect<Started>();
  b.disconnect();
  EXPECT_TRUE(b.wait_exit());
  EXPECT_EQ(f.log_text(), "done\n");
  EXPECT_TRUE(decode_result(read_all(f.result.get())));
}

TEST(AgentLine, StoppedFromOutside) {
  BUILDER(b);
  TestFiles f;
  b.connect();
  b.expect<Hello>();
  b.assign(order({"sleep", "1000"}), f);
  b.expect<Started>();
  ASSERT_EQ(::kill(b.pid(), SIGTERM), 0);
  auto end = b.expect<Finished>();
  EXPECT_EQ(end.result.cause, JobCause::cancelled);
  EXPECT_TRUE(b.wait_exit());
}

TEST(AgentLine, NonsenseIsAnsweredAndSurvived) {
  BUILDER(b);
  b.connect();
  b.expect<Hello>();
  Assign nothing;  // neither id nor command
  b.send(nothing);
  EXPECT_FALSE(b.expect<Refused>().why.empty());
  b.connect();
  b.expect<Hello>();
}

}  // namespace
}  // namespace mayfly::agent
