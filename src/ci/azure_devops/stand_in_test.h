#pragma once
// The stand-in server of tests/e2e/azure_devops_server.py as a process of a test's own.
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <string>

#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "base/log.h"
#include "ci/azure_devops/azure_devops.h"
#include "os/file.h"
#include "os/http_client.h"
#include "ports/secret_store.h"

namespace mayfly::azure_devops {

class StandIn {
 public:
  StandIn() {
    int in[2], out[2];
    MAYFLY_CHECK(::pipe2(in, O_CLOEXEC) == 0 && ::pipe2(out, O_CLOEXEC) == 0);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    std::string program = MAYFLY_SOURCE_DIR "/tests/e2e/azure_devops_server.py";
    char python[] = "python3";
    char* argv[] = {python, program.data(), nullptr};
    MAYFLY_CHECK(::posix_spawnp(&process_, python, &actions, nullptr, argv, environ) == 0);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    stdin_.reset(in[1]);
    os::Fd answers(out[0]);
    for (char c = 0; ::read(answers.get(), &c, 1) == 1 && c != '\n';) url_ += c;
    client_ = std::make_unique<HttpClient>(HttpServer{.url = url_});
  }
  ~StandIn() {
    stdin_.reset();  // it ends with its stdin
    ::waitpid(process_, nullptr, 0);
  }
  const std::string& url() const { return url_; }

  boost::json::object tell(const std::string& word, const boost::json::object& what = {}) {
    HttpRequest request;
    request.method = "POST";
    request.path = "/_test/" + word;
    request.body = boost::json::serialize(what);
    auto answer = client_->request(request);
    EXPECT_TRUE(answer && answer->status == 200) << word << ": " << (answer ? answer->body : answer.error().text());
    return answer && answer->status == 200 ? boost::json::parse(answer->body).as_object() : boost::json::object{};
  }
  boost::json::object state() { return tell("state"); }

 private:
  pid_t process_ = 0;
  os::Fd stdin_;
  std::string url_;
  std::unique_ptr<HttpClient> client_;
};

class KnownSecrets final : public SecretStore {
 public:
  // Complete with the newline that an editor leaves.
  std::map<std::string, std::string> values{{"pat", "pat-0123456789abcdefghijklmnopqrstuvwxyz\n"},
                                            {"entra", "entra-client-secret-0123456789\n"}};
  Result<std::string> get(const std::string& name) override {
    auto it = values.find(name);
    if (it == values.end()) return fail(ErrorCode::not_found, "no secret '" + name + "'");
    return it->second;
  }
};

inline constexpr const char* placeholder = "mayfly-placeholder-p";

inline Account with_token(const std::string& url) {
  Account a;
  a.url = url + "/acme/";
  a.pool = "Linux";
  a.placeholder = placeholder;
  a.token_secret = "pat";
  a.capabilities = {{"docker", "yes"}, {"os", "Debian 12"}};
  a.agent_version = "4.255.0";
  return a;
}
inline Account with_entra(const std::string& url) {
  auto a = with_token(url);
  a.token_secret.clear();
  a.tenant_id = "tenant-1";
  a.client_id = "client-1";
  a.client_secret_secret = "entra";
  a.login_url = url;
  return a;
}

}  // namespace mayfly::azure_devops
