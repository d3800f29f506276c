// The commands that ask and show, against a daemon that answers as the test says.
#include <gmock/gmock.h>

#include "cli/fake_daemon.h"
#include "cli/output.h"
#include "model/json.h"

namespace mayfly {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

std::string ago(int s) { return std::to_string(to_micros(SystemClock().now()) - s * 1'000'000LL); }

FakeDaemon::Handler always(const std::string& body, int status = 200) {
  return [=](const FakeRequest&, FakeConnection& c) { c.answer(status, body); };
}

Ran ask(const FakeDaemon& daemon, std::vector<std::string> args, CliEnvironment environment = {}) {
  environment.variables["MAYFLY_STATE"] = daemon.state();
  return run_cli(std::move(args), std::move(environment));
}

TEST(Client, StatusSumsUp) {
  FakeDaemon daemon(always(R"({"started_at":)" + ago(7300) + R"(,"notice":"The disk is nearly full.","pools":[
    {"name":"general","image":"base","image_digest":"sha256:0123456789abcdef0123","max":10,"queued":3,"starting":1,"ready":2,"busy":4,"stopping":0,"problem":"no image"}]})"));
  auto ran = ask(daemon, {"status"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(
      ran.out,
      AllOf(HasSubstr("has been up 2 h."), HasSubstr("4 running, 3 queued; 2 ready, 1 starting, 0 stopping."),
            HasSubstr("The disk is nearly full.\n"), HasSubstr("Pool general cannot start builders: no image\n"),
            HasSubstr("POOL     QUEUED  RUNNING  READY  STARTING  STOPPING  MAX  IMAGE\n"
                      "general  3       4        2      1         0         10   base (sha256:0123456789ab)\n")));
  EXPECT_THAT(ran.out, Not(HasSubstr("\033")));
  CliEnvironment terminal;
  terminal.out_is_terminal = true;
  EXPECT_THAT(ask(daemon, {"status"}, terminal).out, HasSubstr("\033[31m"));
  terminal.variables["NO_COLOR"] = "1";
  EXPECT_THAT(ask(daemon, {"status"}, terminal).out, Not(HasSubstr("\033")));
}

TEST(Client, JobsAreFilteredByTheDaemonAndShownInColumns) {
  FakeDaemon daemon(always(R"({"jobs":[
    {"id":18,"state":"queued","spec":{"pool":"p","command":["make","test all"]},"waiting":{"code":"pool_at_max","text":"all 10 builders are busy"},"queued_at":)" +
                           ago(12) + R"(},
    {"id":17,"state":"failed","spec":{"pool":"p","name":"evil\u001b[31m"},"builder":"p-1","queued_at":)" +
                           ago(300) + R"(,"started_at":1000000,"ended_at":3500000,
     "result":{"cause":"exited","exit_code":2}}]})"));
  auto ran = ask(daemon, {"jobs", "--state", "failed", "--pool", "a b", "--limit", "5"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_EQ(daemon.seen()[0], "GET /v1/jobs?limit=5&state=failed&pool=a%20b");
  EXPECT_THAT(ran.out, AllOf(HasSubstr("18   queued  p              12 s ago"), HasSubstr("make 'test all'"),
                             HasSubstr("all 10 builders are busy"), HasSubstr("5 min ago"), HasSubstr("2.5 s"),
                             HasSubstr("exit code 2"), Not(HasSubstr("\033"))));
  EXPECT_EQ(ask(daemon, {"jobs", "-q"}).out, "18\n17\n");
  EXPECT_TRUE(parse_json_object(ask(daemon, {"jobs", "--json"}).out));
  auto wrong = ask(daemon, {"jobs", "--state", "faild"});
  EXPECT_EQ(wrong.code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("Did you mean failed?"));
}

TEST(Client, ExplainTellsWhatAJobWaitsFor) {
  FakeDaemon daemon(always(
      R"({"job":{"id":17,"state":"queued","spec":{"pool":"general","name":"unit","command":["make","test"],"submitter":"ann"},"queued_at":)" +
      ago(90) + R"(,"waiting":{"code":"behind_others","text":"two jobs go first","since":)" + ago(30) + R"(}},
    "ahead":[{"id":15,"state":"queued","spec":{"pool":"general"}},{"id":16,"state":"queued","spec":{"pool":"general","name":"lint"}}],"ahead_total":5,"story":[]})"));
  auto ran = ask(daemon, {"explain", "17"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out,
              AllOf(HasSubstr("Job 17 \"unit\" runs `make test` in pool general. It was submitted by ann 1 min ago"),
                    HasSubstr("It has been waiting 1 min, because two jobs go first (behind_others; so for 30 s).\n"),
                    HasSubstr("5 jobs are ahead of it: jobs 15, 16 \"lint\" and 3 more.\n")));
}

TEST(Client, ExplainTellsHowAJobEnded) {
  FakeDaemon daemon(always(
      R"({"job":{"id":17,"state":"timed_out","spec":{"pool":"general","command":["make"]},"builder":"general-4","image_digest":"sha256:ab","log_bytes":2048,
    "queued_at":1000000,"started_at":1020000,"ended_at":61020000,"result":{"cause":"timed_out","message":"it ran into its limit of 1 min"}},"ahead":[],"ahead_total":0,
    "story":[{"seq":4,"at":1000000,"kind":"job.submitted","subject":"job/17","detail":"{\"pool\":\"general\",\"why\":\"a b\"}","previous":"","hash":""},
             {"seq":9,"at":1016000,"kind":"builder.ready","subject":"builder/general-4","detail":"{}","previous":"","hash":""}]})"));
  auto ran = ask(daemon, {"explain", "17"});
  EXPECT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out,
              AllOf(HasSubstr("It was stopped at its time limit, after running 1 min 0 s, 1 min 0 s after it was "
                              "submitted. It ran into its limit of 1 min. `mayfly run` would exit with 124."),
                    HasSubstr("Its log has 2.0 KiB: `mayfly logs 17`."),
                    HasSubstr("Its builder was general-4, made from sha256:ab."),
                    HasSubstr("+0        job.submitted  job/17             pool=general why=\"a b\"\n"),
                    HasSubstr("+16.0 ms  builder.ready  builder/general-4\n")));
}

TEST(Client, WhatACiHasOfAJobIsShownAndLinked) {
  const std::string job =
      R"({"id":17,"state":"failed","spec":{"pool":"p","name":"CI / build"},"ci":"github","builder":"p-4",
    "external":{"id":"4711","url":"https://git.example/acme/runs/1/job/4711","runner":"mf-1a-p-4","taken":true,
                "result":"failure","queued_at":1000000,"started_at":2000000},
    "queued_at":1000000,"started_at":2000000,"ended_at":3000000,"result":{"cause":"exited","exit_code":1}})";
  FakeDaemon one(always(R"({"job":)" + job + R"(,"ahead":[],"ahead_total":0,"story":[]})"));
  EXPECT_THAT(ask(one, {"explain", "17"}).out,
              HasSubstr("At github it is 4711: https://git.example/acme/runs/1/job/4711. By its clock: queued "
                        "1970-01-01T00:00:01.000Z, started 1970-01-01T00:00:02.000Z. Its builder was mf-1a-p-4 there. "
                        "It says: failure.\n"));
  FakeDaemon some(
      always(R"({"jobs":[)" + job + R"(,{"id":16,"state":"succeeded","spec":{"pool":"p","name":"mine"}}]})"));
  EXPECT_THAT(ask(some, {"jobs"}).out, AllOf(HasSubstr("AT ITS CI    WHAT"), HasSubstr("github 4711  CI / build")));
}

TEST(Client, BuildersPoolsAndLedger) {
  FakeDaemon daemon([](const FakeRequest& r, FakeConnection& c) {
    if (r.target == "/v1/builders?gone=true")
      return c.answer(
          200,
          R"({"builders":[{"id":"p-1","pool":"p","platform":"local","state":"gone","job":17,"cause":"its job ended"}]})");
    if (r.target == "/v1/pools")
      return c.answer(
          200,
          R"({"pools":[{"name":"p","image":"base","platform":"local","warm":1,"max":3,"network":"egress","problem":""}]})");
    if (r.target == "/v1/ledger?from=3&limit=1&subject=job%2F17")
      return c.answer(
          200,
          R"({"entries":[{"seq":3,"at":1000000,"kind":"job.cancelled","subject":"job/17","detail":"{\"by\":\"ann\"}"}]})");
    if (r.target == "/v1/ledger/verification")
      return c.answer(
          500,
          R"({"error":{"code":"invalid","what":"its content was changed after it was written","where":"ledger entry 7"}})");
    c.answer(404, "");
  });
  EXPECT_THAT(ask(daemon, {"builders", "--all"}).out,
              HasSubstr("p-1      gone   p     local     17          its job ended\n"));
  EXPECT_THAT(ask(daemon, {"pools"}).out, HasSubstr("p     base   local     1     3    egress\n"));
  auto shown = ask(daemon, {"audit", "show", "--subject", "job/17", "--from", "3", "--limit", "1"});
  EXPECT_THAT(shown.out, HasSubstr("3   1970-01-01T00:00:01.000Z  job.cancelled  job/17  by=ann\n"));
  EXPECT_THAT(shown.err, HasSubstr("--from 4"));
  auto broken = ask(daemon, {"audit", "verify"});
  EXPECT_EQ(broken.code, 1);
  EXPECT_EQ(broken.err, "mayfly: ledger entry 7: its content was changed after it was written\n");
}

TEST(Client, LogsPrintsFromAnOffsetAndEnds) {
  FakeDaemon daemon([](const FakeRequest& r, FakeConnection& c) {
    if (!r.target.starts_with("/v1/jobs/17/log"))
      return c.answer(200, R"({"id":17,"state":"succeeded","spec":{"pool":"p"}})");
    c.begin_stream();
    c.chunk(frame_of(1, 5, "rest\n") + frame_of(2, 10, "e\n"));
    c.end_stream();
  });
  auto ran = ask(daemon, {"logs", "17", "--offset", "5"});
  EXPECT_EQ(ran.code, 0);
  EXPECT_EQ(ran.out, "rest\n");
  EXPECT_EQ(ran.err, "e\n");
  EXPECT_EQ(daemon.seen()[0], "GET /v1/jobs/17/log?offset=5&follow=false&format=framed");
  EXPECT_EQ(ask(daemon, {"logs", "-f", "17"}).code, 0);
  EXPECT_EQ(ask(daemon, {"logs", "seventeen"}).code, 2);
}

TEST(Client, CancelGoesThroughAllJobs) {
  FakeDaemon daemon([](const FakeRequest& r, FakeConnection& c) {
    if (r.target == "/v1/jobs/1/cancel")
      return c.answer(409, R"({"error":{"code":"conflict","what":"job 1 has ended already"}})");
    c.answer(200, R"({"id":2,"state":"running","spec":{"pool":"p"}})");
  });
  auto ran = ask(daemon, {"cancel", "1", "job/2"});
  EXPECT_EQ(ran.code, 1);
  EXPECT_EQ(ran.err, "mayfly: job 1 has ended already\n");
  EXPECT_EQ(ran.out, "Job 2 is being cancelled.\n");
}

TEST(Client, ErrorsWithoutAReasonAreNamedToo) {
  FakeDaemon daemon(always("<html>", 502));
  auto ran = ask(daemon, {"status"});
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.err, HasSubstr("GET /v1/status was answered with status 502"));
  FakeDaemon rubbish(always("not json"));
  EXPECT_THAT(ask(rubbish, {"status"}).err, HasSubstr("not valid JSON"));
}

TEST(Client, HooksOfTheProgram) {
  CliEnvironment e;
  e.doctor = [] {
    return std::vector<DoctorCheck>{{"crun", DoctorCheck::Status::ok, "1.8", ""},
                                    {"overlay", DoctorCheck::Status::missing, "no", "Load the module."}};
  };
  auto ran = run_cli({"doctor"}, e);
  EXPECT_EQ(ran.code, 1);
  EXPECT_THAT(ran.out, AllOf(HasSubstr("crun     ok       1.8\n"), HasSubstr("overlay: Load the module.\n"),
                             HasSubstr("cannot run builders: 1 of 2")));
  EXPECT_EQ(run_cli({"doctor", "--json"}, e).code, 1);
  UpRequest up;
  e.up = [&](const UpRequest& r) { return up = r, 7; };
  EXPECT_EQ(run_cli({"up", "--state", "/s", "--log-level", "debug"}, e).code, 7);
  EXPECT_EQ(up.state, "/s");
  e.variables["HOME"] = "/home/ann";
  run_cli({"up"}, e);
  EXPECT_EQ(up.state, "/home/ann/.local/state/mayfly");
  e.is_root = true;
  run_cli({"up"}, e);
  EXPECT_EQ(up.state, "/var/lib/mayfly");
  EXPECT_EQ(run_cli({"init"}).code, 1) << "a hook that is not there";
  EXPECT_EQ(run_cli({"version"}).out, "mayfly 1.2.3\n");
  EXPECT_EQ(run_cli({}).code, 2);
  EXPECT_THAT(run_cli({"help", "logs"}).out, HasSubstr("Usage: mayfly logs"));
}

TEST(Output, NamesAndAges) {
  EXPECT_EQ(age(milliseconds(300)), "just now");
  EXPECT_EQ(age(seconds(12)), "12 s ago");
  EXPECT_EQ(age(std::chrono::hours(50)), "2 d ago");
  EXPECT_EQ(shorten("abcdef", 4), "abc…");
  EXPECT_EQ(shorten("äöü", 3), "äöü");
  EXPECT_EQ(shorten("äöüß", 3), "äö…");
  EXPECT_EQ(printable("a\x1b[2Jb\nc\xc2\x9b"), "a\xef\xbf\xbd[2Jb c\xef\xbf\xbd");
}

}  // namespace
}  // namespace mayfly
