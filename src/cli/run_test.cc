// `mayfly run` against a daemon that answers as the test says.
#include <gmock/gmock.h>
#include <signal.h>

#include <boost/json.hpp>
#include <fstream>

#include "cli/fake_daemon.h"
#include "cli/follow.h"
#include "model/json.h"

namespace mayfly {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr const char* running = R"({"id":17,"state":"running","spec":{"pool":"p","command":["x"]}})";

std::string ended(const std::string& state, const std::string& cause, int code, const std::string& message = "",
                  int signal = 0) {
  return fmt::format(
      R"({{"id":17,"state":"{}","spec":{{"pool":"p","command":["x"]}},"result":{{"cause":"{}","exit_code":{},"signal":{},"message":"{}"}}}})",
      state, cause, code, signal, message);
}

// Everything goes well unless a test takes a request for itself (by giving true).
struct Script {
  std::string log = frame_of(1, 0, "hello\n");
  std::string end = ended("succeeded", "exited", 0);
  std::function<bool(const FakeRequest&, FakeConnection&)> special = [](const FakeRequest&, FakeConnection&) {
    return false;
  };

  FakeDaemon::Handler handler() {
    return [this](const FakeRequest& r, FakeConnection& c) {
      if (special(r, c)) return;
      if (r.target == "/v1/jobs") return c.answer(201, running);
      if (r.target.starts_with("/v1/jobs/17/log")) {
        c.begin_stream();
        c.chunk(log);
        return c.end_stream();
      }
      if (r.target == "/v1/jobs/17") return c.answer(200, end);
      c.answer(404, R"({"error":{"code":"not_found","what":"no such thing"}})");
    };
  }
};

Ran run_in(const FakeDaemon& daemon, std::vector<std::string> more = {"--", "x"}, CliEnvironment environment = {}) {
  std::vector<std::string> args{"run", "--state", daemon.state(), "--pool", "p"};
  args.insert(args.end(), more.begin(), more.end());
  return run_cli(args, std::move(environment));
}

TEST(Run, PassesOnOutputAndExitCode) {
  Script script;
  script.log = frame_of(1, 0, std::string("out\0\xff", 5)) + frame_of(2, 5, "err\n") + frame_of(0, 9, "") +
               frame_of(3, 9, "the log was cut off\n");
  script.end = ended("failed", "exited", 3);
  FakeDaemon daemon(script.handler());
  auto ran = run_in(daemon, {"-e", "A=1", "--name", "unit", "--timeout", "90s", "--secret", "npm-token", "--repeatable",
                             "--", "make", "-j2"});
  EXPECT_EQ(ran.code, 3);
  EXPECT_EQ(ran.out, std::string("out\0\xff", 5));
  EXPECT_EQ(ran.err, "err\nmayfly: the log was cut off\n");
  EXPECT_THAT(daemon.seen(), ElementsAre("POST /v1/jobs", "GET /v1/jobs/17/log?offset=0&follow=true&format=framed",
                                         "GET /v1/jobs/17"));
  auto o = parse_json_object(daemon.bodies()[0]);
  ASSERT_TRUE(o);
  EXPECT_EQ(o->at("idempotency_key").as_string().size(), 32u);
  auto spec = job_spec_from_json(*o);
  ASSERT_TRUE(spec) << spec.error().text();
  EXPECT_EQ(spec->command, (std::vector<std::string>{"make", "-j2"}));
  EXPECT_EQ(spec->env.at("A"), "1");
  EXPECT_EQ(spec->timeout, Duration(seconds(90)));
  EXPECT_EQ(spec->secrets, std::vector<std::string>{"npm-token"});
  EXPECT_TRUE(spec->repeatable);
}

TEST(Run, NamesEachEnd) {
  struct Case {
    std::string end;
    int code;
    const char* err;
  };
  const Case cases[] = {
      {ended("timed_out", "timed_out", 0, "job 17 was stopped at its time limit (10 min)"), 124,
       "mayfly: job 17 was stopped at its time limit (10 min)\n"},
      {ended("failed", "command_not_found", 0, "'mkae' is not in the image"), 127,
       "mayfly: job 17: 'mkae' is not in the image\n"},
      {ended("failed", "signalled", 0, "", 11), 139, "mayfly: job 17 was ended by signal 11\n"},
      {ended("failed", "oom_killed", 0, "it exceeded its memory", 9), 137, "mayfly: job 17: it exceeded its memory\n"},
      {ended("lost", "builder_lost", 0), 125, "mayfly: job 17 ended: builder lost\n"},
      {ended("cancelled", "cancelled", 0), 130, "mayfly: job 17 ended: cancelled\n"},
  };
  for (const auto& c : cases) {
    Script script;
    script.end = c.end;
    FakeDaemon daemon(script.handler());
    auto ran = run_in(daemon);
    EXPECT_EQ(ran.code, c.code);
    EXPECT_EQ(ran.err, c.err);
  }
}

TEST(Run, GoesOnWhereABrokenLogEnded) {
  Script script;
  std::atomic<int> tries = 0;
  script.special = [&](const FakeRequest& r, FakeConnection& c) {
    if (!r.target.starts_with("/v1/jobs/17/log")) return false;
    int n = tries++;
    c.begin_stream();
    // First half a frame; then, after the reconnection, bytes of which some came before; then only a frame's head.
    if (n == 0) c.chunk(frame_of(1, 0, "abcdef").substr(0, 16 + 4)), c.drop();
    if (n == 1) c.chunk(frame_of(1, 2, "cdefgh") + frame_of(2, 8, "E").substr(0, 10)), c.drop();
    if (n == 2) c.chunk(frame_of(2, 8, "E") + frame_of(1, 9, "ij")), c.end_stream();
    return true;
  };
  FakeDaemon daemon(script.handler());
  auto ran = run_in(daemon);
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.out, "abcdefghij");
  EXPECT_EQ(ran.err, "E");
  auto seen = daemon.seen();
  ASSERT_GE(seen.size(), 4u);
  EXPECT_THAT(seen[2], HasSubstr("offset=4&"));
  EXPECT_THAT(seen[3], HasSubstr("offset=8&"));
}

TEST(Run, OutlivesARestartOfTheDaemon) {
  Script script;
  std::atomic<int> logs = 0, asked = 0;
  script.special = [&](const FakeRequest& r, FakeConnection& c) {
    if (r.target.starts_with("/v1/jobs/17/log")) {
      int n = logs++;
      if (n == 1) return c.answer(503, R"({"error":{"code":"unavailable","what":"starting"}})"), true;
      c.begin_stream();
      c.chunk(n == 0 ? frame_of(1, 0, "before ") : frame_of(1, 7, "after"));
      return c.end_stream(), true;  // the stopping daemon ends its streams in good order
    }
    if (r.target == "/v1/jobs/17" && asked++ == 0) return c.answer(200, running), true;
    return false;
  };
  FakeDaemon daemon(script.handler());
  auto ran = run_in(daemon);
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.out, "before after");
}

TEST(Run, SubmitsOnceThoughTheAnswerIsLost) {
  Script script;
  std::atomic<int> tries = 0;
  script.special = [&](const FakeRequest& r, FakeConnection& c) {
    if (r.target != "/v1/jobs" || tries++ > 0) return false;
    return c.drop(), true;
  };
  FakeDaemon daemon(script.handler());
  EXPECT_EQ(run_in(daemon).code, 0);
  ASSERT_GE(daemon.bodies().size(), 2u);
  EXPECT_EQ(daemon.seen()[1], "POST /v1/jobs");
  EXPECT_EQ(daemon.bodies()[0], daemon.bodies()[1]) << "the same key, or there would be two jobs";
}

TEST(Run, CancelsOnCtrlCAndWaitsForTheEnd) {
  Script script;
  std::atomic<bool> cancelled = false;
  script.special = [&](const FakeRequest& r, FakeConnection& c) {
    if (r.target == "/v1/jobs/17/cancel") return cancelled = true, c.answer(200, running), true;
    if (!r.target.starts_with("/v1/jobs/17/log")) return false;
    c.begin_stream();
    c.chunk(frame_of(1, 0, "working\n"));
    ::kill(::getpid(), SIGINT);
    for (int i = 0; i < 1000 && !cancelled; ++i) ::poll(nullptr, 0, 10);
    c.chunk(frame_of(1, 8, "cleaned up\n"));
    return c.end_stream(), true;
  };
  script.end = ended("cancelled", "cancelled", 0);
  FakeDaemon daemon(script.handler());
  auto ran = run_in(daemon);
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(ran.code, 130);
  EXPECT_EQ(ran.out, "working\ncleaned up\n");
  EXPECT_THAT(ran.err, HasSubstr("cancelling job 17"));
}

TEST(Run, LeavesOnTheSecondCtrlC) {
  Script script;
  script.special = [&](const FakeRequest& r, FakeConnection& c) {
    if (r.target == "/v1/jobs/17/cancel") return c.answer(200, running), ::kill(::getpid(), SIGINT), true;
    if (!r.target.starts_with("/v1/jobs/17/log")) return false;
    c.begin_stream();
    ::kill(::getpid(), SIGINT);
    return c.wait_for_client(), true;
  };
  FakeDaemon daemon(script.handler());
  auto ran = run_in(daemon);
  EXPECT_EQ(ran.code, 130);
  EXPECT_THAT(ran.err, HasSubstr("left job 17"));
}

TEST(Run, CarriesDirectoriesThereAndBack) {
  TempDir here, back;
  std::filesystem::create_directories(here.path + "/sub");
  std::ofstream(here.path + "/sub/file") << std::string(3 << 20, 'x');
  std::filesystem::create_symlink("sub/file", here.path + "/link");
  std::string tar;
  Script script;
  script.special = [&](const FakeRequest& r, FakeConnection& c) {
    if (r.target == "/v1/uploads") return tar = r.body, c.answer(201, R"({"upload":"u1","bytes":1})"), true;
    if (r.target == "/v1/jobs/17/output")
      return c.send(fmt::format("HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\nContent-Length: {}\r\n\r\n",
                                tar.size())),
             c.send(tar), true;
    return false;
  };
  FakeDaemon daemon(script.handler());
  auto ran = run_in(daemon, {"--upload", here.path, "--download", back.path + "/new:dist", "--", "x"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  auto spec = job_spec_from_json(*parse_json_object(daemon.bodies()[1]));
  ASSERT_TRUE(spec);
  EXPECT_EQ(spec->input, "u1");
  EXPECT_EQ(spec->output, "dist");
  EXPECT_EQ(std::filesystem::file_size(back.path + "/new/sub/file"), 3u << 20);
  EXPECT_EQ(std::filesystem::read_symlink(back.path + "/new/link"), "sub/file");
}

TEST(Run, DoesNotSubmitWhenTheUploadFails) {
  Script script;
  script.special = [&](const FakeRequest& r, FakeConnection& c) {
    return r.target == "/v1/uploads" &&
           (c.answer(507, R"({"error":{"code":"exhausted","what":"the disk is full","next":"Free some."}})"), true);
  };
  FakeDaemon daemon(script.handler());
  TempDir here;
  std::ofstream(here.path + "/f") << "x";
  auto ran = run_in(daemon, {"--upload", here.path, "--", "x"});
  EXPECT_EQ(ran.code, 125);
  EXPECT_EQ(ran.err, "mayfly: the disk is full. Free some.\n");
  ran = run_in(daemon, {"--upload", here.path + "/missing", "--", "x"});
  EXPECT_EQ(ran.code, 125);
  EXPECT_THAT(ran.err, HasSubstr("/missing: it cannot be read: No such file"));
  for (const auto& s : daemon.seen()) EXPECT_NE(s, "POST /v1/jobs");
}

TEST(Run, DetachesAndPrintsJson) {
  Script script;
  FakeDaemon daemon(script.handler());
  auto ran = run_in(daemon, {"--detach", "x"});
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.out, "17\n");
  EXPECT_EQ(daemon.seen().size(), 1u);
  ran = run_in(daemon, {"--json", "x"});
  EXPECT_EQ(ran.err, "hello\n") << "standard output is the JSON's";
  EXPECT_EQ(parse_json_object(ran.out)->at("state").as_string(), "succeeded");
}

TEST(Run, WithoutADaemonSaysWhereItLooked) {
  TempDir nothing;
  auto ran = run_cli({"run", "--pool", "p", "--state", nothing.path, "--", "x"});
  EXPECT_EQ(ran.code, 125);
  EXPECT_THAT(ran.err, HasSubstr(nothing.path + "/mayfly.sock (--state)"));
  EXPECT_THAT(ran.err, HasSubstr("mayfly up"));
}

TEST(Run, RunsAnImageWithoutADaemon) {
  Script script;
  FakeDaemon daemon(script.handler());
  StandaloneRequest asked;
  int stopped = 0;
  CliEnvironment e;
  e.variables["NPM_TOKEN"] = "t";
  e.run_standalone = [&](const StandaloneRequest& r) -> Result<Standalone> {
    asked = r;
    return Standalone{daemon.socket(), "one", [&] { ++stopped; }};
  };
  auto ran = run_cli({"run", "--image", "oci:/i", "--memory", "1GiB", "--network", "none", "--secret", "npm-token",
                      "--timeout", "2h", "x"},
                     e);
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(ran.out, "hello\n");
  EXPECT_EQ(stopped, 1);
  EXPECT_EQ(asked.image, "oci:/i");
  EXPECT_EQ(asked.memory, 1LL << 30);
  EXPECT_EQ(asked.network, Network::none);
  EXPECT_EQ(asked.timeout, Duration(std::chrono::hours(2)));
  EXPECT_EQ(job_spec_from_json(*parse_json_object(daemon.bodies()[0]))->pool, "one");
  EXPECT_EQ(run_cli({"run", "--image", "oci:/i", "--secret", "other", "x"}, e).code, 2) << "a secret without a value";
}

TEST(Run, RefusesCommandLinesThatContradictThemselves) {
  const std::pair<std::vector<std::string>, const char*> cases[] = {
      {{"run", "x"}, "--pool POOL"},
      {{"run", "--pool", "p"}, "nothing to run"},
      {{"run", "--pool", "p", "--image", "i", "x"}, "exclude each other"},
      {{"run", "--pool", "p", "--memory", "1GiB", "x"}, "--memory is for --image"},
      {{"run", "--pool", "p", "--timeout", "10", "x"}, "not a duration"},
      {{"run", "--pool", "p", "--priority", "high", "x"}, "--priority"},
      {{"run", "--pool", "p", "-e", "NOT_SET_HERE", "x"}, "not set here"},
      {{"run", "--pool", "p", "--script", "/dev/null"}, "it is empty"},
      {{"run", "--pool", "p", "--script", "/dev/null", "x"}, "exclude each other"},
      {{"run", "--image", "i", "--state", "/x", "x"}, "--state names one"},
      {{"run", "--pool", "p", "--server", "http://x", "x"}, "https://HOST"},
      {{"run", "--pool", "p", "--detach", "--download", "d", "x"}, "--detach does not wait"},
  };
  for (const auto& [args, says] : cases) {
    auto ran = run_cli(args);
    EXPECT_EQ(ran.code, 2) << says;
    EXPECT_THAT(ran.err, HasSubstr(says));
  }
}

TEST(Follow, GivesUpWhenPatienceEnds) {
  FakeDaemon daemon([](const FakeRequest&, FakeConnection& c) { c.drop(); });
  DaemonAddress address;
  address.server.unix_socket = daemon.socket();
  Api api(address);
  Interrupts interrupts;
  int err = ::memfd_create("err", MFD_CLOEXEC);
  Output output(err, err, false, false, false);
  FollowOptions options;
  options.job = 1;
  options.patience = seconds(0);
  options.sink = [](LogStream, std::string_view) { return true; };
  auto followed = follow_log(api, options, interrupts, output);
  ::close(err);
  ASSERT_FALSE(followed);
  EXPECT_EQ(followed.error().code, ErrorCode::unavailable);
}

TEST(Follow, RefusesWhatIsNoFrame) {
  for (auto bytes : {std::string(16, '\x07'), std::string("\x01\0\0\0\xff\xff\xff\xff\0\0\0\0\0\0\0\0", 16)}) {
    FrameParser p(0);
    EXPECT_FALSE(p.feed(bytes, [](LogStream, std::string_view) { return true; }));
  }
}

}  // namespace
}  // namespace mayfly
