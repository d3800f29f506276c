#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <boost/json.hpp>

#include <fstream>
#include <mutex>
#include <set>

#include "api/auth.h"
#include "api/routes.h"
#include "api/service.h"
#include "api/shapes.h"
#include "model/json.h"
#include "net/test_support.h"

namespace mayfly::api {
namespace {

namespace json = boost::json;
using net::test::RawClient;

Job full_job() {
  Job j{.id = 7,
        .spec = {"p", "n", {"c"}, "s", {{"A", "b"}}, {"x"}, seconds(1), 3, std::string(32, 'a'), "out", true, "me"}};
  j.state = JobState::failed;
  j.builder = "b", j.image_digest = "d", j.cancel_requested = true, j.idempotency_key = "k", j.log_truncated = true;
  j.queued_at = j.assigned_at = j.started_at = j.ended_at = from_micros(5);
  j.result = {JobCause::signalled, 1, 9, "m"};
  return j;
}

class FakeBackend final : public Backend {
 public:
  void submit(JobSpec spec, std::string key, Done<Job> done) override {
    Job j;
    j.id = 1, j.spec = std::move(spec), j.idempotency_key = std::move(key);
    job_ = j;
    done(j);
  }
  void cancel(JobId id, std::string who, Done<Job> done) override { cancelled_by = who, job(id, done); }
  void job(JobId id, Done<Job> done) override {
    if (id != job_.id) return done(fail(ErrorCode::not_found, "there is no job", "job " + std::to_string(id)));
    done(job_);
  }
  void jobs(JobFilter f, Done<std::vector<Job>> done) override { filter = f, done({{job_}}); }
  void builders(bool, Done<std::vector<Builder>> done) override { done(std::vector<Builder>{}); }
  void status(Done<Status> done) override { done(Status{{}, {PoolStatus{}}, "n"}); }
  void explain(JobId, Done<Explanation> done) override { done(Explanation{job_, {}, {}, 0}); }
  void ledger(std::uint64_t, std::size_t, std::string, Done<std::vector<LedgerEntry>> done) override {
    done(std::vector<LedgerEntry>{});
  }
  void verify_ledger(Done<LedgerCheck> done) override { done(fail(ErrorCode::internal, "entry 3 was changed")); }
  void when_ended(JobId, Done<Job> done) override {
    std::lock_guard lock(mutex);
    waiting.push_back(std::move(done));
  }
  bool has_waiting() {
    std::lock_guard lock(mutex);
    return !waiting.empty();
  }
  Job job_;
  JobFilter filter;
  std::string cancelled_by;
  std::mutex mutex;
  std::vector<Done<Job>> waiting;
};

class ApiTest : public ::testing::Test {
 protected:
  void start(ServerSpec spec = {}) {
    auto made = serve({{dir_.path()}, spec, "1.2", {}}, backend_, log_);
    ASSERT_TRUE(made) << made.error().text();
    server_ = std::move(*made);
  }
  net::test::Response ask(std::string_view method, const std::string& target, const std::string& body = {}) {
    return RawClient(dir_.file("mayfly.sock")).request(method, target, body);
  }
  net::test::TempDir dir_;
  Log log_{LogLevel::error};
  FakeBackend backend_;
  std::unique_ptr<net::Server> server_;
};

TEST_F(ApiTest, SubmitsAsWhoTheKernelSaysWhateverTheBodySays) {
  start();
  auto r = ask("POST", "/v1/jobs", R"({"pool":"p","command":["true"],"submitter":"mallory","idempotency_key":"k"})");
  EXPECT_EQ(r.status, 201) << r.body;
  EXPECT_EQ(backend_.job_.spec.submitter, user_name(::getuid()));
  EXPECT_EQ(backend_.job_.idempotency_key, "k");
}

TEST_F(ApiTest, SaysWhatIsWrongAndWhatWasMeant) {
  start();
  for (auto [method, target, body, status, text] :
       std::vector<std::tuple<std::string, std::string, std::string, int, std::string>>{
           {"POST", "/v1/jobs", R"({"pol":"p"})", 400, "'pool'"},
           {"POST", "/v1/jobs", "{", 400, "JSON"},
           {"POST", "/v1/jobs", R"({"pool":"p","input":"../../etc/x"})", 400, "upload"},
           {"GET", "/v1/jbos", "", 404, "/v1/jobs"},
           {"GET", "/v1/jobs/1/lgo", "", 404, "/v1/jobs/1/log"},
           {"DELETE", "/v1/jobs", "", 405, "POST, GET"},
           {"GET", "/v1/jobs/0", "", 400, "id"},
           {"GET", "/v1/jobs/9", "", 404, "no job"},
           {"GET", "/v1/jobs?limt=1", "", 400, "'limit'"},
           {"GET", "/v1/jobs?limit=1001", "", 400, "1000"},
           {"GET", "/v1/jobs?state=done", "", 400, "state"},
           {"GET", "/v1/ledger/verification", "", 500, "entry 3"}}) {
    auto r = ask(method, target, body);
    EXPECT_EQ(r.status, status) << method << target << r.body;
    EXPECT_NE(r.body.find(text), std::string::npos) << r.body;
  }
  EXPECT_EQ(ask("HEAD", "/healthz").status, 200);
}

TEST_F(ApiTest, WaitsForTheEndOrTheTimeout) {
  start();
  backend_.job_.id = 7;
  EXPECT_EQ(ask("GET", "/v1/jobs/7/wait?timeout_ms=5").status, 202);
  RawClient client(dir_.file("mayfly.sock"));
  client.send("GET /v1/jobs/7/wait HTTP/1.1\r\n\r\n");
  ASSERT_TRUE(net::test::eventually([&] { return server_->stats().requests == 2 && backend_.has_waiting(); }));
  EXPECT_EQ(backend_.waiting.size(), 1u) << "one subscription a job, however many wait";
  backend_.waiting[0](full_job());
  auto r = client.read_response();
  EXPECT_EQ(r.status, 200);
  EXPECT_NE(r.body.find("signalled"), std::string::npos) << r.body;
}

TEST_F(ApiTest, UploadsAreKeptUnderAnIdThatAJobMayName) {
  start();
  auto r = ask("POST", "/v1/uploads", "a tar");
  ASSERT_EQ(r.status, 201) << r.body;
  auto id = std::string(json::parse(r.body).at("upload").as_string());
  EXPECT_TRUE(std::filesystem::exists(StatePaths{dir_.path()}.upload(id)));
  EXPECT_EQ(ask("POST", "/v1/jobs", R"({"pool":"p","input":")" + id + R"("})").status, 201);
  EXPECT_EQ(ask("POST", "/v1/jobs", R"({"pool":"p","input":")" + std::string(32, '0') + R"("})").status, 400);
}

TEST_F(ApiTest, OverTcpOnlyABearerOfAKnownTokenIsServed) {
  auto cert = dir_.file("c.pem"), key = dir_.file("k.pem");
  auto command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout " + key + " -out " +
                 cert + " 2>/dev/null";
  ASSERT_EQ(std::system(command.c_str()), 0);
  std::ofstream(dir_.file("tokens"))
      << "# who\nalice 2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n";  // sha256("secret")
  start({"127.0.0.1:0", cert, key, dir_.file("tokens")});
  auto ask_tls = [&](const std::string& target, const std::string& header) {
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    std::unique_ptr<BIO, decltype(&BIO_free_all)> bio(BIO_new_ssl_connect(context.get()), BIO_free_all);
    BIO_set_conn_hostname(bio.get(), ("127.0.0.1:" + std::to_string(server_->tcp_port())).c_str());
    auto text = "GET " + target + " HTTP/1.1\r\nConnection: close\r\n" + header + "\r\n";
    std::string out;
    if (BIO_write(bio.get(), text.data(), static_cast<int>(text.size())) <= 0) return out;
    char buffer[4096];
    for (int n; (n = BIO_read(bio.get(), buffer, sizeof buffer)) > 0;) out.append(buffer, static_cast<std::size_t>(n));
    return out.substr(9, 3);
  };
  EXPECT_EQ(ask_tls("/v1/version", ""), "401");
  EXPECT_EQ(ask_tls("/v1/version", "Authorization: Bearer wrong\r\n"), "401");
  EXPECT_EQ(ask_tls("/v1/version", "Authorization: Bearer secret\r\n"), "200");
  EXPECT_EQ(ask_tls("/healthz", ""), "200");
}

std::set<std::string> members(const json::object& o) {
  std::set<std::string> out;
  for (const auto& [k, v] : o) out.insert(std::string(k));
  return out;
}

TEST(OpenApiTest, EachRouteIsInTheDocumentAndTheReverse) {
  auto document = openapi("1");
  std::set<std::string> described, routed;
  for (const auto& [path, item] : document["paths"].as_object())
    for (const auto& [method, operation] : item.as_object())
      described.insert(std::string(method) + " " + std::string(path));
  for (const auto& r : routes()) {
    std::string method;
    for (char c : r.method) method += static_cast<char>(c | 0x20);
    routed.insert(method + " " + r.path);
  }
  EXPECT_EQ(described, routed);
  EXPECT_EQ(routed.size(), routes().size());
}

TEST(OpenApiTest, SchemasNameTheMembersThatAreWritten) {
  auto document = openapi("1");
  auto schemas = document["components"].as_object()["schemas"].as_object();
  auto same = [&](const char* name, const json::object& written, std::set<std::string> more = {}) {
    auto all = members(written);
    all.merge(more);
    EXPECT_EQ(members(schemas[name].as_object()["properties"].as_object()), all) << name;
  };
  Time t = from_micros(5);
  same("Job", to_json(full_job()), {"waiting"});  // only while queued
  same("JobSpec", to_json(full_job().spec));
  same("JobResult", to_json(full_job())["result"].as_object());
  same("Reason", to_json(Reason{ReasonCode::submitted, "t", t, t}));
  Builder b;
  b.job = 1, b.cause = "c", b.requested_at = b.ready_at = b.stopping_at = b.gone_at = t;
  same("Builder", to_json(b));
  same("LedgerEntry", to_json(LedgerEntry{}));
  same("ErrorDetail", to_json(Error{ErrorCode::invalid, "a", "b", "c"}));
  same("Pool", to_json(PoolStatus{}));
  same("Status", to_json(Status{}));
  same("Explanation", to_json(Explanation{}));
  same("LedgerCheck", to_json(LedgerCheck{}));
}

}  // namespace
}  // namespace mayfly::api
