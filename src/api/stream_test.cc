// A job's log, its output and the wait for its end, through the real server and over real files.
#include <fcntl.h>

#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "api/test_support.h"
#include "model/log_index.h"
#include "net/log_reader.h"

namespace mayfly::api {
namespace {

using net::test::eventually;
using net::test::Response;
using test::RawClient;

class StreamTest : public test::ApiTest {
 protected:
  StreamTest() {
    start();
    backend_.job_ = test::full_job();
    backend_.job_.state = JobState::running;
    std::filesystem::create_directories(paths_.job(7));
  }
  // As the agent does: the log first, then the index.
  void append(std::string_view bytes, LogStream stream = LogStream::out) {
    std::ofstream(paths_.log(7), std::ios::app) << bytes;
    unsigned char record[LogRecord::size];
    encode(LogRecord{std::filesystem::file_size(paths_.log(7)), Time{}, stream}, record);
    std::ofstream(paths_.log_index(7), std::ios::app).write(reinterpret_cast<char*>(record), sizeof record);
  }
  void end() { backend_.end(test::full_job()); }
  RawClient client() { return RawClient(dir_.file("mayfly.sock")); }
  // Asks for a stream and takes its header.
  Response begin(RawClient& c, const std::string& target) {
    Response r;
    c.send("GET " + target + " HTTP/1.1\r\n\r\n");
    EXPECT_TRUE(c.read_head(r));
    return r;
  }
  static std::string chunk(RawClient& c) {
    std::string out;
    return c.read_chunk(out) ? out : "(cut)";
  }

  StatePaths paths_{dir_.path()};
};

TEST_F(StreamTest, FollowingALogEndsWhenTheJobHasEndedAndAllWasSent) {
  append("one");
  auto c = client();
  auto head = begin(c, "/v1/jobs/7/log?follow=true");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("Content-Type"), "application/octet-stream");
  EXPECT_EQ(chunk(c), "one");
  append("two", LogStream::err);
  EXPECT_EQ(chunk(c), "two");
  append("three");
  end();
  EXPECT_EQ(chunk(c), "three");
  EXPECT_EQ(chunk(c), "") << "the end of the stream, not a cut";
  EXPECT_EQ(c.request("GET", "/healthz").status, 200) << "the connection goes on";
}

TEST_F(StreamTest, FollowingAJobThatHasEndedSendsAllAndEnds) {
  append("all of it");
  backend_.job_.state = JobState::succeeded;
  EXPECT_EQ(ask("GET", "/v1/jobs/7/log?follow").body, "all of it");
  EXPECT_EQ(backend_.waits(), 0u);
}

TEST_F(StreamTest, FollowingAJobThatEndsWithoutALogEnds) {
  std::filesystem::remove_all(paths_.jobs());
  backend_.job_.state = JobState::queued;
  auto c = client();
  begin(c, "/v1/jobs/7/log?follow=true");
  ASSERT_TRUE(eventually([&] { return server_->stats().log_streams == 1; }));
  end();
  EXPECT_EQ(chunk(c), "");
}

TEST_F(StreamTest, BeyondTheEndALogIsEmptyOrWaitsForMore) {
  append("abc");
  auto now = ask("GET", "/v1/jobs/7/log?offset=1000");
  EXPECT_EQ(now.status, 200);
  EXPECT_EQ(now.body, "");
  EXPECT_EQ(ask("GET", "/v1/jobs/7/log?offset=1").body, "bc");
  auto c = client();
  begin(c, "/v1/jobs/7/log?offset=5&follow=true");
  ASSERT_TRUE(eventually([&] { return server_->stats().log_streams == 1; }));
  append("de");
  append("fg");
  EXPECT_EQ(chunk(c), "fg");
  end();
  EXPECT_EQ(chunk(c), "");
}

TEST_F(StreamTest, FramesNameTheStreamAndTheOffset) {
  append("out");
  append("err", LogStream::err);
  auto r = ask("GET", "/v1/jobs/7/log?format=framed&offset=1");
  EXPECT_EQ(r.header("Content-Type"), "application/vnd.mayfly.log");
  std::string expected(2 * net::log_frame_header, 0);
  net::put_log_frame_header(expected.data(), 1, 2, 1);
  net::put_log_frame_header(expected.data() + net::log_frame_header, 2, 3, 3);
  expected.insert(net::log_frame_header, "ut");
  EXPECT_EQ(r.body, expected + "err");
}

TEST_F(StreamTest, AHeadOfALogHasNoBodyAndDoesNotFollow) {
  append("abc");
  auto c = client();
  for (const char* target : {"/v1/jobs/7/log", "/v1/jobs/7/log?follow=true"}) {
    Response head;
    c.send(fmt::format("HEAD {} HTTP/1.1\r\n\r\n", target));
    ASSERT_TRUE(c.read_head(head));
    EXPECT_EQ(head.status, 200);
  }
  EXPECT_EQ(c.request("GET", "/healthz").body, R"({"ok":true})") << "nothing of a body came before it";
}

TEST_F(StreamTest, ManyFollowersAreOneSubscriptionAndThoseWhoGoLeaveNothing) {
  append("x");
  std::vector<RawClient> followers;
  for (int i = 0; i < 20; ++i) {
    followers.push_back(client());
    begin(followers.back(), "/v1/jobs/7/log?follow=true");
  }
  ASSERT_TRUE(eventually([&] { return server_->stats().log_streams == 20; }));
  EXPECT_EQ(backend_.waits(), 1u);
  followers.erase(followers.begin() + 10, followers.end());
  EXPECT_TRUE(eventually([&] { return server_->stats().log_streams == 10; }));
  end();
  for (auto& f : followers) {
    EXPECT_EQ(chunk(f), "x");
    EXPECT_EQ(chunk(f), "");
  }
  EXPECT_TRUE(eventually([&] { return server_->stats().log_streams == 0; }));
}

TEST_F(StreamTest, ALogThatCannotBeAskedForSaysWhy) {
  for (auto [target, status, text] : std::vector<std::tuple<std::string, int, std::string>>{
           {"/v1/jobs/9/log", 404, "there is no job"},
           {"/v1/jobs/9/log?follow=true", 404, "there is no job"},
           {"/v1/jobs/7/log?ofset=1", 400, "Did you mean 'offset'?"},
           {"/v1/jobs/7/log?format=xml", 400, "raw or framed"},
           {"/v1/jobs/7/log?follow=maybe", 400, "true or false"},
           {"/v1/jobs/7/log?offset=-1", 400, "whole number"},
           {"/v1/jobs/7/log?offset=9223372036854775808", 400, "whole number"}}) {
    auto r = ask("GET", target);
    EXPECT_EQ(r.status, status) << target;
    EXPECT_NE(r.body.find(text), std::string::npos) << target << r.body;
  }
}

TEST_F(StreamTest, AnOutputComesOnceTheJobHasEnded) {
  auto early = ask("GET", "/v1/jobs/7/output");
  EXPECT_EQ(early.status, 409);
  EXPECT_NE(early.body.find("Wait for its end"), std::string::npos) << early.body;
  end();
  auto none = ask("GET", "/v1/jobs/7/output");
  EXPECT_EQ(none.status, 404);
  EXPECT_NE(none.body.find("left no output"), std::string::npos) << none.body;

  std::string tar(700'000, 't');
  std::ofstream(paths_.output(7)) << tar;
  auto r = ask("GET", "/v1/jobs/7/output");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.header("Content-Type"), "application/x-tar");
  EXPECT_TRUE(r.body == tar);
  auto c = client();
  auto head = c.request("HEAD", "/v1/jobs/7/output");
  EXPECT_EQ(head.header("Content-Length"), std::to_string(tar.size()));
  EXPECT_EQ(c.request("GET", "/healthz").status, 200);

  backend_.job_.spec.output.clear();
  auto unasked = ask("GET", "/v1/jobs/7/output");
  EXPECT_EQ(unasked.status, 404);
  EXPECT_NE(unasked.body.find("Submit it with 'output'"), std::string::npos) << unasked.body;
}

TEST_F(StreamTest, AnOutputThatIsNoRegularFileIsNotSent) {
  end();
  std::ofstream(dir_.file("secret")) << "secret";
  std::filesystem::create_symlink(dir_.file("secret"), paths_.output(7));
  auto r = ask("GET", "/v1/jobs/7/output");
  EXPECT_NE(r.status, 200);
  EXPECT_EQ(r.body.find("\"secret\""), std::string::npos);
}

TEST_F(StreamTest, WaitingAnswersAllWhoWaitAndAtOnceWhenItIsOver) {
  std::vector<RawClient> waiters;
  for (int i = 0; i < 5; ++i) {
    waiters.push_back(client());
    waiters.back().send("GET /v1/jobs/7/wait HTTP/1.1\r\n\r\n");
  }
  ASSERT_TRUE(eventually([&] { return server_->stats().requests == 5 && backend_.waits() == 1; }));
  waiters[0].close();
  EXPECT_TRUE(eventually([&] { return server_->stats().connections == 4; }));
  end();
  for (int i = 1; i < 5; ++i) EXPECT_EQ(waiters[static_cast<std::size_t>(i)].read_response().status, 200);
  EXPECT_EQ(ask("GET", "/v1/jobs/7/wait").status, 200);
  EXPECT_EQ(ask("GET", "/v1/jobs/7/wait?timeout_ms=0").status, 200);
}

TEST_F(StreamTest, WaitingHasATimeoutALimitAndKnowsWhichJobsThereAre) {
  auto r = ask("GET", "/v1/jobs/7/wait?timeout_ms=0");
  EXPECT_EQ(r.status, 202);
  EXPECT_NE(r.body.find(R"("state":"running")"), std::string::npos) << r.body;
  EXPECT_EQ(ask("GET", "/v1/jobs/9/wait").status, 404);
  auto long_wait = ask("GET", "/v1/jobs/7/wait?timeout_ms=60001");
  EXPECT_EQ(long_wait.status, 400);
  EXPECT_NE(long_wait.body.find("60000"), std::string::npos) << long_wait.body;
}

TEST_F(StreamTest, TheServersEndDoesNotHangOnThoseWhoWait) {
  append("abc");
  auto waiter = client(), follower = client();
  waiter.send("GET /v1/jobs/7/wait HTTP/1.1\r\n\r\n");
  begin(follower, "/v1/jobs/7/log?follow=true");
  ASSERT_TRUE(eventually([&] { return server_->stats().requests == 2 && server_->stats().log_streams == 1; }));
  server_.reset();
  EXPECT_TRUE(waiter.closed_by_peer());
  EXPECT_TRUE(follower.closed_by_peer());
  end();  // control's late word reaches nobody, and harms nobody
}

}  // namespace
}  // namespace mayfly::api
