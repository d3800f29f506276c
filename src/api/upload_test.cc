// What the API takes in: uploads and submissions, with their limits, and what it says when it cannot take them.
#include <filesystem>
#include <fstream>

#include <boost/json.hpp>

#include "api/routes.h"
#include "api/test_support.h"

namespace mayfly::api {
namespace {

namespace json = boost::json;
using net::test::eventually;
using net::test::Response;
using test::RawClient;

class UploadTest : public test::ApiTest {
 protected:
  UploadTest() { start(); }
  RawClient client() { return RawClient(dir_.file("mayfly.sock")); }
  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(paths_.uploads()))
      names.push_back(entry.path().filename());
    return names;
  }
  StatePaths paths_{dir_.path()};
};

TEST_F(UploadTest, TellsItsIdAndSizeWhateverItsTransferCoding) {
  auto c = client();
  c.send("POST /v1/uploads HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  auto r = c.read_response();
  ASSERT_EQ(r.status, 201) << r.body;
  auto answer = json::parse(r.body).as_object();
  EXPECT_EQ(answer.at("bytes").to_number<int>(), 5);
  auto id = std::string(answer.at("upload").as_string());
  EXPECT_TRUE(is_upload_id(id)) << id;
  std::string kept;
  std::ifstream(paths_.upload(id)) >> kept;
  EXPECT_EQ(kept, "abcde");
  using std::filesystem::perms;
  auto mode = std::filesystem::status(paths_.upload(id)).permissions();
  EXPECT_EQ(mode & (perms::group_all | perms::others_all), perms::none) << "sources may be secret";
}

TEST_F(UploadTest, AnEmptyBodyIsAnEmptyUpload) {
  auto c = client();
  c.send("POST /v1/uploads HTTP/1.1\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(c.read_response().status, 201);
  EXPECT_EQ(files().size(), 1u);
}

TEST_F(UploadTest, TooLargeIsRefusedBeforeItIsTaken) {
  auto c = client();
  c.send("POST /v1/uploads HTTP/1.1\r\nContent-Length: " + std::to_string(max_upload + 1) + "\r\n\r\nstart");
  auto r = c.read_response();
  EXPECT_EQ(r.status, 413);
  EXPECT_NE(r.body.find(std::to_string(max_upload)), std::string::npos) << r.body;
  EXPECT_TRUE(files().empty());
}

TEST_F(UploadTest, BrokenOffItLeavesNothing) {
  for (const char* head : {"Content-Length: 100000\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n5\r\nab"}) {
    auto c = client();
    c.send(std::string("POST /v1/uploads HTTP/1.1\r\n") + head);
    ASSERT_TRUE(eventually([&] { return files().size() == 1; }));
    EXPECT_NE(files().at(0).find(".part"), std::string::npos) << "no job may name it yet";
    c.close();
    EXPECT_TRUE(eventually([&] { return files().empty(); }));
  }
  auto c = client();
  c.send("POST /v1/uploads HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n");
  EXPECT_EQ(c.read_response().status, 400);
  EXPECT_TRUE(eventually([&] { return files().empty(); }));
}

TEST_F(UploadTest, WhatAKilledDaemonWasTakingInIsRemovedByTheNext) {
  server_.reset();
  std::ofstream(paths_.upload("broken") + ".part") << "half";
  std::ofstream(paths_.upload("whole")) << "all";
  start();
  EXPECT_EQ(files(), std::vector<std::string>{"whole.tar"});
}

TEST_F(UploadTest, WithoutItsDirectoryItSaysWhatFailed) {
  std::filesystem::remove_all(paths_.uploads());
  auto r = ask("POST", "/v1/uploads", "a tar");
  EXPECT_GE(r.status, 400);
  EXPECT_NE(r.body.find("upload"), std::string::npos) << r.body;
}

TEST_F(UploadTest, AJobsBodyAndBodiesNobodyAskedForHaveLimits) {
  auto c = client();
  c.send("POST /v1/jobs HTTP/1.1\r\nContent-Length: " + std::to_string(max_job_body + 1) + "\r\n\r\n{");
  EXPECT_EQ(c.read_response().status, 413);
  auto other = client();
  other.send("POST /v1/jobs/1/cancel HTTP/1.1\r\nContent-Length: 70000\r\n\r\n{");
  EXPECT_EQ(other.read_response().status, 413);
}

TEST_F(UploadTest, ARefusedSubmissionHasTheStatusOfItsReasonAndAllItsWords) {
  for (auto [code, where, status] :
       std::vector<std::tuple<ErrorCode, std::string, int>>{{ErrorCode::exhausted, "queue", 429},
                                                            {ErrorCode::exhausted, "job", 507},
                                                            {ErrorCode::conflict, "job", 409},
                                                            {ErrorCode::denied, "job", 403},
                                                            {ErrorCode::unavailable, "job", 503},
                                                            {ErrorCode::unsupported, "job", 501},
                                                            {ErrorCode::timeout, "job", 504},
                                                            {ErrorCode::internal, "job", 500}}) {
    backend_.refusal = Error{code, "what", where, "next"};
    auto r = ask("POST", "/v1/jobs", R"({"pool":"p","command":["true"]})");
    EXPECT_EQ(r.status, status);
    json::object expected{{"code", to_string(code)}, {"what", "what"}, {"where", where}, {"next", "next"}};
    EXPECT_EQ(json::parse(r.body), json::object({{"error", expected}})) << r.body;
  }
}

TEST_F(UploadTest, WhatIsNotPossibleSaysWhatIs) {
  for (auto [method, target, allow] :
       std::vector<std::tuple<std::string, std::string, std::string>>{{"DELETE", "/v1/jobs", "POST, GET"},
                                                                      {"POST", "/v1/jobs/7/log", "GET"},
                                                                      {"GET", "/v1/jobs/7/cancel", "POST"},
                                                                      {"HEAD", "/v1/uploads", "POST"}}) {
    auto r = ask(method, target);
    EXPECT_EQ(r.status, 405) << method << target;
    EXPECT_EQ(r.header("Allow"), allow) << method << target;
    if (method != "HEAD") EXPECT_NE(r.body.find("Use " + allow + "."), std::string::npos) << r.body;
  }
  auto lost = ask("GET", "/");
  EXPECT_EQ(lost.status, 404);
  EXPECT_NE(lost.body.find("openapi.json"), std::string::npos) << lost.body;
}

}  // namespace
}  // namespace mayfly::api
