#include <gtest/gtest.h>
#include <openssl/ssl.h>

#include <boost/json.hpp>

#include <fstream>
#include <set>

#include "api/auth.h"
#include "api/routes.h"
#include "api/service.h"
#include "api/shapes.h"
#include "api/test_support.h"
#include "model/json.h"

namespace mayfly::api {
namespace {

namespace json = boost::json;
using test::full_job;
using test::RawClient;

class ApiTest : public test::ApiTest {};

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
           {"POST", "/v1/images/general/versions", R"({"refrence":"x"})", 400, "'reference'"},
           {"POST", "/v1/images/general/versions", R"({"reference":"x","version":"1"})", 400, "2.4.1"},
           {"POST", "/v1/images/general/versions", R"({"reference":"x","level":"huge"})", 400, "level"},
           {"POST", "/v1/images/general/rollback?to=2", "", 400, "2.4.1"},
           {"POST", "/v1/apply", R"({"text":"pools: {}"})", 400, "absolute path"},
           {"POST", "/v1/apply", R"({"file":"/etc/x.yaml"})", 400, "'text'"},
           {"POST", "/v1/plan", R"({"txt":""})", 400, "'text'"},
           {"GET", "/v1/images/No!", "", 400, "name"},
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
  ASSERT_TRUE(net::test::eventually([&] { return server_->stats().requests == 2 && backend_.waits() == 1; }));
  EXPECT_EQ(backend_.waits(), 1u) << "one subscription a job, however many wait";
  backend_.end(full_job());
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

// Whether a value is as its schema says; where it is not.
std::string mistake(const json::object& document, const json::object& schema, const json::value& value,
                    const std::string& at) {
  if (auto* ref = schema.if_contains("$ref")) {
    auto name = std::string(ref->as_string()).substr(std::string("#/components/schemas/").size());
    return mistake(document, document.at("components").at("schemas").at(name).as_object(), value, at);
  }
  auto type = schema.at("type").as_string();
  if (type == "string") return value.is_string() ? "" : at + " is no string";
  if (type == "integer") return value.is_int64() || value.is_uint64() ? "" : at + " is no integer";
  if (type == "boolean") return value.is_bool() ? "" : at + " is no boolean";
  if (type == "array") {
    if (!value.is_array()) return at + " is no array";
    for (const auto& element : value.get_array())
      if (auto m = mistake(document, schema.at("items").as_object(), element, at + "[]"); !m.empty()) return m;
    return "";
  }
  if (!value.is_object()) return at + " is no object";
  if (auto* required = schema.if_contains("required"))
    for (const auto& name : required->as_array())
      if (!value.get_object().contains(name.as_string())) return at + " lacks " + std::string(name.as_string());
  auto* properties = schema.if_contains("properties");
  for (const auto& [name, member] : value.get_object()) {
    auto below = at + "." + std::string(name);
    auto* inner = properties ? properties->as_object().if_contains(name) : schema.if_contains("additionalProperties");
    if (properties && !inner) return below + " is not described";
    if (!inner) continue;
    if (auto m = mistake(document, inner->as_object(), member, below); !m.empty()) return m;
  }
  return "";
}

class DescribedTest : public test::ApiTest {};

TEST_F(DescribedTest, EveryAnswerIsAsTheDocumentSays) {
  start();
  backend_.job_ = full_job();
  auto document = json::parse(ask("GET", "/v1/openapi.json").body).as_object();
  auto asked = 0;
  for (const auto& [path, item] : document.at("paths").as_object())
    for (const auto& [method, operation] : item.as_object()) {
      auto target = std::string(path);
      if (auto id = target.find("{id}"); id != std::string::npos) target.replace(id, 4, "7");
      const auto& responses = operation.at("responses").as_object();
      if (auto name = target.find("{name}"); name != std::string::npos) target.replace(name, 6, "general");
      if (auto ci = target.find("{ci}"); ci != std::string::npos) target.replace(ci, 4, "github");
      for (const char* parameters : {"", "?no_such_parameter=1"}) {
        auto body = target == "/v1/jobs"                            ? R"({"pool":"p","command":["true"]})"
                    : target == "/v1/plan" || target == "/v1/apply" ? "{}"
                    : target.ends_with("/versions")                 ? R"({"reference":"localhost/general:1"})"
                    : target.ends_with("/report")                   ? R"({"outcome":"failed","result":"failure"})"
                                                                    : "x";
        auto r = ask(method == "get" ? "GET" : "POST", target + parameters, method == "get" ? "" : body);
        auto* described = responses.if_contains(std::to_string(r.status));
        EXPECT_TRUE(described || r.status >= 400) << path << ": " << r.status;
        const auto& contents = (described ? *described : responses.at("default")).at("content").as_object();
        auto* content = contents.if_contains(r.header("Content-Type"));
        ASSERT_TRUE(content) << path << ": " << r.header("Content-Type");
        if (r.header("Content-Type") != "application/json") continue;
        EXPECT_EQ(mistake(document, content->at("schema").as_object(), json::parse(r.body), "answer"), "") << r.body;
        ++asked;
      }
    }
  EXPECT_GT(asked, 25);
}

TEST(OpenApiTest, ParametersAreTheOnesThatAreTaken) {
  auto document = openapi("1");
  for (const auto& route : routes()) {
    std::string method = route.method == "GET" ? "get" : "post";
    std::set<std::string> described, taken;
    for (const auto& p : document.at("paths").at(route.path).at(method).at("parameters").as_array())
      described.insert(std::string(p.at("name").as_string()));
    for (const auto& p : route.parameters) taken.insert(p.name);
    for (const char* name : {"id", "name", "ci"})
      if (route.path.find(std::string("{") + name + "}") != std::string::npos) taken.insert(name);
    EXPECT_EQ(described, taken) << route.path;
  }
}

TEST(OpenApiTest, TheDescribedSubmissionIsTheOneThatIsTaken) {
  auto document = openapi("1");
  auto described = members(document.at("components").at("schemas").at("Submission").at("properties").as_object());
  auto taken = to_json(full_job().spec);
  taken["idempotency_key"] = "k";
  taken["ci"] = "buildbot";
  taken["external"] = {{"id", "31"}};
  taken["one_time_secrets"] = {{"PASS", "word"}};
  EXPECT_EQ(described, members(taken));
  auto parsed = parse_submission(json::serialize(taken));
  ASSERT_TRUE(parsed) << parsed.error().text();
  EXPECT_EQ(parsed->spec, full_job().spec);
}

TEST(OpenApiTest, ASubmissionWithWrongSecretsOrSourceIsRefusedWithoutNamingValues) {
  for (auto [body, text] : std::vector<std::pair<std::string, std::string>>{
           {R"("one_time_secrets":{"A B":"value"})", "environment variable"},
           {R"("one_time_secrets":{"A":"abc"})", "4 bytes"},
           {R"("one_time_secrets":["secret-value"])", "not an object"},
           {R"("one_time_secrets":{"A":7})", "not a text"},
           {R"("ci":"buildbot")", "belong together"},
           {R"("external":{"id":"1"})", "belong together"},
           {R"("idempotency_key":"ci/github/p/1/1")", "may not begin"}}) {
    auto parsed = parse_submission(R"({"pool":"p","command":["x"],)" + body + "}");
    ASSERT_FALSE(parsed) << body;
    EXPECT_NE(parsed.error().text().find(text), std::string::npos) << parsed.error().text();
    EXPECT_EQ(parsed.error().text().find("secret-value"), std::string::npos);
  }
}

TEST_F(ApiTest, AWebhookNeedsNoTokenAndReachesItsConnectorAsItCame) {
  start();
  EXPECT_EQ(ask("POST", "/v1/webhooks/github/acme", "{\"a\": 1}").status, 202);
  EXPECT_EQ(backend_.hooked.kind, "github");
  EXPECT_EQ(backend_.hooked.name, "acme");
  EXPECT_EQ(backend_.hooked.body, "{\"a\": 1}");
  EXPECT_FALSE(backend_.hooked.headers.empty());
  EXPECT_EQ(ask("POST", "/v1/webhooks/github/acme", "twice").status, 202);
  EXPECT_EQ(ask("POST", "/v1/webhooks/github/acme", "forged").status, 403);
  EXPECT_EQ(ask("POST", "/v1/webhooks/github/acme", std::string((1 << 20) + 1, 'x')).status, 413);
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
  same("CiRecord", to_json(full_job().external));
  same("JobResult", to_json(full_job())["result"].as_object());
  same("Reason", to_json(Reason{ReasonCode::submitted, "t", t, t}));
  same("Builder", to_json(test::full_builder()));
  same("ImageBuild", to_json(test::full_build()));
  same("LedgerEntry", to_json(LedgerEntry{}));
  same("ErrorDetail", to_json(Error{ErrorCode::invalid, "a", "b", "c"}));
  auto pool = to_json(test::full_pool_explanation());
  same("PoolExplanation", pool);
  same("Pool", pool["pool"].as_object());
  same("PoolWait", pool["pool"].as_object()["waits"].as_array()[0].as_object());
  same("NumberSource", pool["numbers"].as_array()[0].as_object());
  same("PoolStart", pool["starts"].as_array()[0].as_object(), {"problem"});
  auto plan = to_json(test::full_config_plan());
  same("ConfigPlan", plan);
  same("ConfigItem", plan["changes"].as_array()[0].as_object());
  same("ConfigValue", plan["changes"].as_array()[0].as_object()["values"].as_array()[0].as_object());
  same("StrandedJob", plan["stranded"].as_array()[0].as_object());
  same("Image", to_json(test::full_image()));
  same("ImageVersion", to_json(test::full_image().versions[0]));
  same("PoolVersions", to_json(test::full_rollout()));
  same("Rollout", to_json(*test::full_rollout().rollout));
  same("VersionTally", to_json(*test::full_rollout().rollout)["new"].as_object());
  same("Pool", to_json(PoolStatus{}));
  same("Status", to_json(Status{}));
  same("Explanation", to_json(Explanation{}));
  same("LedgerCheck", to_json(LedgerCheck{}));
}

}  // namespace
}  // namespace mayfly::api
