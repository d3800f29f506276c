#include "api/server.h"

#include <sys/random.h>

#include "api/auth.h"
#include "api/routes.h"
#include "base/text.h"
#include "net/server.h"

namespace mayfly::api {
namespace {

constexpr std::uint64_t max_upload = 4ull << 30;

std::string random_id() {
  char bytes[12];
  MAYFLY_CHECK(::getrandom(bytes, sizeof bytes, 0) == sizeof bytes);
  return to_hex({bytes, sizeof bytes});
}

}  // namespace

struct ApiServer::Parts {
  Parts(Backend& backend, const StatePaths& paths, std::string version)
      : ends(backend), desk{backend, ends, alarm, paths, std::move(version)} {}
  Tokens tokens;
  JobEnds ends;
  Alarm alarm;
  Desk desk;
  std::unique_ptr<net::Server> server;

  // Before any of the body is taken: is there such a thing, and may this caller ask for it?
  tl::expected<net::Admission, net::Refusal> admit(const net::Request& head) const {
    auto found = find_route(head.method, head.target);
    if (!found) return tl::unexpected(found.error());
    net::Admission a;
    if (!found->route->open) {
      auto who = identify(head, tokens);
      if (!who) return tl::unexpected(who.error());
      a.who = std::move(*who);
    }
    if (found->route->takes == "tar") {
      a.body_limit = max_upload;
      a.body_file = desk.paths.upload(random_id());
    }
    return a;
  }

  void handle(const net::Request& request, const ReplyPtr& reply) {
    auto found = find_route(request.method, request.target);
    if (!found) return reply->refuse(found.error());
    found->route->handle(desk, request, found->arguments, reply);
  }
};

ApiServer::ApiServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
ApiServer::~ApiServer() { parts_->server.reset(); }

int ApiServer::tcp_port() const { return parts_->server->tcp_port(); }

Result<std::unique_ptr<ApiServer>> ApiServer::start(Backend& backend, const ServerSpec& spec, const StatePaths& paths,
                                                    std::string version, const Log& log) {
  auto parts = std::make_unique<Parts>(backend, paths, std::move(version));
  MAYFLY_ASSIGN(parts->tokens, Tokens::load(spec.tokens));
  net::ServerOptions options;
  options.socket_path = paths.socket();
  options.listen = spec.listen;
  options.tls_certificate = spec.tls_certificate;
  options.tls_key = spec.tls_key;
  auto* p = parts.get();
  MAYFLY_ASSIGN(parts->server, net::Server::start(
                                   std::move(options), [p](const net::Request& head) { return p->admit(head); },
                                   [p](net::Request request, ReplyPtr reply) { p->handle(request, reply); }, log));
  return std::unique_ptr<ApiServer>(new ApiServer(std::move(parts)));
}

}  // namespace mayfly::api
