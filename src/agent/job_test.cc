// Jobs through the real agent: each end as itself, with a message that a person understands.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <gmock/gmock.h>

#include "agent/options.h"
#include "agent/test_builder.h"

namespace mayfly::agent {
namespace {

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST(AgentJob, ExitCodeAndBothStreams) {
  BUILDER(b);
  TestFiles f;
  auto end = b.run(order({"sh", "-c", "echo out; echo err >&2; exit 3"}), f);
  EXPECT_EQ(end.result.cause, JobCause::exited);
  EXPECT_EQ(end.result.exit_code, 3);
  EXPECT_EQ(f.stream(LogStream::out), "out\n");
  EXPECT_EQ(f.stream(LogStream::err), "err\n");
  EXPECT_EQ(end.log_bytes, 8);
  EXPECT_GT(end.started_at, Time());
  EXPECT_GE(end.ended_at, end.started_at);
  auto written = decode_result(read_all(f.result.get()));
  ASSERT_TRUE(written);
  EXPECT_EQ(encode_result(*written), encode_result(end));
}

TEST(AgentJob, Signal) {
  BUILDER(b);
  TestFiles f;
  auto end = b.run(order({"sh", "-c", "kill -SEGV $$"}), f);
  EXPECT_EQ(end.result.cause, JobCause::signalled);
  EXPECT_EQ(end.result.signal, SIGSEGV);
  EXPECT_TRUE(has(end.result.message, "signal 11")) << end.result.message;
}

TEST(AgentJob, CommandNotFoundNamesItAndThePath) {
  BUILDER(b);
  TestFiles f;
  auto end = b.run(order({"no-such-tool", "x"}), f);
  EXPECT_EQ(end.result.cause, JobCause::command_not_found);
  EXPECT_TRUE(has(end.result.message, "no-such-tool")) << end.result.message;
  EXPECT_TRUE(has(end.result.message, "/usr/local/bin:/usr/bin:/bin")) << end.result.message;
  EXPECT_EQ(end.started_at, Time());
}

TEST(AgentJob, MissingInterpreterIsNamed) {
  BUILDER(b);
  TestFiles f;
  auto end = b.run(shell("#!/opt/none/python\nprint()\n"), f);
  EXPECT_EQ(end.result.cause, JobCause::command_not_found);
  EXPECT_TRUE(has(end.result.message, "/opt/none/python")) << end.result.message;
}

TEST(AgentJob, NotExecutable) {
  {
    BUILDER(b);
    TestFiles f;
    auto end = b.run(order({"/etc/passwd"}), f);
    EXPECT_EQ(end.result.cause, JobCause::not_executable) << end.result.message;
    EXPECT_TRUE(has(end.result.message, "/etc/passwd")) << end.result.message;
  }
  BUILDER(b);
  TestFiles f;
  auto end = b.run(order({"/tmp"}), f);
  EXPECT_EQ(end.result.cause, JobCause::not_executable) << end.result.message;
}

TEST(AgentJob, ScriptsByShellOrTheirOwnLine) {
  {
    BUILDER(b);
    TestFiles f;
    auto end = b.run(shell("pwd\nfalse\necho not reached\n"), f);
    EXPECT_EQ(end.result.exit_code, 1);
    EXPECT_EQ(f.log_text(), "/workspace\n");
  }
  BUILDER(b);
  TestFiles f;
  auto end = b.run(shell("#!/bin/cat\nitself\n"), f);
  EXPECT_EQ(end.result.exit_code, 0) << end.result.message;
  EXPECT_EQ(f.log_text(), "#!/bin/cat\nitself\n");
}

TEST(AgentJob, EnvironmentUserAndSurroundings) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can start jobs as another user";
  BUILDER(b);
  TestFiles f;
  auto a = shell(
      "id -u; id -g; id -G; echo $HOME $USER $MAYFLY_WORKSPACE; stat -c %u .; echo x > file; umask;"
      "readlink /proc/self/fd/0; cat /proc/self/oom_score_adj; grep -E 'NoNewPrivs|CapInh|CapAmb|CapEff' "
      "/proc/self/status;"
      "ls /proc/self/fd; ps -o sid= -p $$ | tr -d ' '; echo $$; cat /proc/1/environ && echo leak");
  a.user = "builder";
  auto end = b.run(a, f);
  EXPECT_THAT(
      f.stream(LogStream::out),
      testing::StartsWith("1000\n1000\n1000 2000\n/home/builder builder /workspace\n1000\n0022\n/dev/null\n500\n"));
  auto text = f.log_text();
  EXPECT_TRUE(has(text, "NoNewPrivs:\t1")) << text;
  EXPECT_TRUE(has(text, "CapEff:\t0000000000000000")) << text;
  EXPECT_TRUE(has(text, "CapInh:\t0000000000000000")) << text;
  EXPECT_TRUE(has(text, "\n0\n1\n2\n3\n") && !has(text, "\n4\n")) << "descriptors leak into the job: " << text;
  EXPECT_FALSE(has(text, "leak")) << text;
  EXPECT_NE(end.result.exit_code, 0);  // the cat
}

TEST(AgentJob, RootCannotLookIntoTheAgent) {
  BUILDER(b);
  TestFiles f;
  auto end =
      b.run(shell("id -u; for f in /proc/1/fd/*; do readlink $f && echo leak; done; cat /proc/1/environ && echo leak; "
                  "cat /proc/1/maps && echo leak; cat /proc/1/mem && echo leak; "
                  "ls /proc/$$/fd >/dev/null && echo own"),
            f);
  auto text = f.stream(LogStream::out);
  EXPECT_EQ(text, "0\nown\n") << end.result.message;
}

TEST(AgentJob, UnknownUserIsNamed) {
  BUILDER(b);
  TestFiles f;
  auto a = order({"true"});
  a.user = "gremlin";
  auto end = b.run(a, f);
  EXPECT_EQ(end.result.cause, JobCause::start_failed);
  EXPECT_TRUE(has(end.result.message, "'gremlin'")) << end.result.message;
}

TEST(AgentJob, TimeoutEndsOneThatIgnoresSigterm) {
  BUILDER(b);
  TestFiles f;
  auto a = shell("trap '' TERM\necho deaf\nwhile :; do sleep 0.05; done\n");
  a.timeout = milliseconds(300);
  auto end = b.run(a, f);
  EXPECT_EQ(end.result.cause, JobCause::timed_out);
  EXPECT_EQ(end.result.signal, SIGKILL);
  EXPECT_TRUE(has(end.result.message, "300 ms")) << end.result.message;
  EXPECT_EQ(f.log_text(), "deaf\n");
}

TEST(AgentJob, TimeoutAsksFirst) {
  BUILDER(b);
  TestFiles f;
  auto a = shell("trap 'echo bye; exit 5' TERM\nwhile :; do sleep 0.02; done\n");
  a.timeout = milliseconds(300);
  a.grace = seconds(20);
  auto end = b.run(a, f);
  EXPECT_EQ(end.result.cause, JobCause::timed_out);
  EXPECT_EQ(end.result.exit_code, 5);
  EXPECT_TRUE(has(f.log_text(), "bye"));
}

TEST(AgentJob, Cancel) {
  BUILDER(b);
  TestFiles f;
  b.connect();
  b.expect<Hello>();
  b.assign(order({"sleep", "1000"}), f);
  EXPECT_EQ(b.expect<Started>().job, 7U);
  b.send(Cancel{8});
  EXPECT_EQ(b.expect<Refused>().job, 8U);
  b.send(Cancel{7});
  auto end = b.expect<Finished>();
  EXPECT_EQ(end.result.cause, JobCause::cancelled);
  EXPECT_EQ(end.result.signal, SIGTERM);
}

TEST(AgentJob, BackgroundProcessesGoWithIt) {
  BUILDER(b);
  TestFiles f;
  auto end = b.run(
      shell("trap '' TERM HUP\n(setsid sleep 1000 &)\nsleep 1001 &\n(sleep 1002 >/dev/null 2>&1 &)\necho done\n"), f);
  EXPECT_EQ(end.result.exit_code, 0);
  EXPECT_EQ(f.log_text(), "done\n");
  EXPECT_EQ(b.children(), "");
}

TEST(AgentJob, OrphansAreReapedWhileItRuns) {
  BUILDER(b);
  TestFiles f;
  auto end = b.run(shell("for i in 1 2 3 4 5 6 7 8; do (true &) ; done; "
                         "while ps -e -o stat= | grep -q Z; do sleep 0.01; done; echo clean"),
                   f);
  EXPECT_EQ(end.result.exit_code, 0);
  EXPECT_TRUE(has(f.log_text(), "clean"));
}

TEST(AgentJob, AJobCannotEndItsAgent) {
  BUILDER(b);
  TestFiles f;
  auto end = b.run(shell("kill -TERM 1; kill -KILL 1; kill -INT 1; sleep 0.05; echo still here"), f);
  EXPECT_EQ(end.result.cause, JobCause::exited) << end.result.message;
  EXPECT_TRUE(has(f.log_text(), "still here"));
}

TEST(AgentJob, AKillThatIsNotForMemory) {
  BUILDER(b);
  TestFiles f;
  auto end = b.run(shell("kill -KILL $$"), f);
  EXPECT_EQ(end.result.cause, JobCause::signalled);
  EXPECT_EQ(end.result.signal, SIGKILL);
}

TEST(AgentJob, OomKilled) {
  BUILDER(b);
  TestFiles f;
  b.connect();
  b.expect<Hello>();
  b.assign(shell("echo ready; trap 'kill -KILL $$' USR1; while :; do sleep 0.01; done"), f);
  b.expect<Started>();
  ASSERT_TRUE(eventually([&] { return f.log_text() == "ready\n"; }));
  b.set_oom_kills(1);
  ASSERT_EQ(::kill(std::stoi(b.children()), SIGUSR1), 0);
  auto end = b.expect<Finished>();
  EXPECT_EQ(end.result.cause, JobCause::oom_killed);
  EXPECT_TRUE(has(end.result.message, "memory")) << end.result.message;
}

TEST(AgentJob, DiskFull) {
  BUILDER(b, ({.disk = "8m"}));
  TestFiles f;
  auto end = b.run(shell("dd if=/dev/zero of=big bs=64k 2>/dev/null || exit 4"), f);
  EXPECT_EQ(end.result.cause, JobCause::disk_full);
  EXPECT_EQ(end.result.exit_code, 4);
  EXPECT_TRUE(has(end.result.message, "disk")) << end.result.message;
}

TEST(AgentJob, TheFilterHolds) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rmdir, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | 38),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  BUILDER(b, ({.seccomp = std::string(reinterpret_cast<const char*>(program), sizeof program)}));
  TestFiles f;
  auto end = b.run(shell("grep Seccomp: /proc/self/status; mkdir d; rmdir d"), f);
  EXPECT_EQ(end.result.exit_code, 1) << end.result.message;
  EXPECT_TRUE(has(f.log_text(), "Seccomp:\t2")) << f.log_text();
}

TEST(AgentJob, ABrokenFilterIsNeverIgnored) {
  for (std::string bytes : {std::string(), std::string("abc"), std::string(8, '\xff')}) {
    BUILDER(b, ({.seccomp = bytes}));
    EXPECT_EQ(b.wait_exit(), exit_unusable << 8);
  }
}

}  // namespace
}  // namespace mayfly::agent
