#include "api/service.h"

#include <sys/random.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <map>

#include "api/auth.h"
#include "api/routes.h"
#include "base/text.h"

namespace mayfly::api {
namespace {

class Service {
 public:
  Service(ServiceOptions& o, Backend& backend, std::optional<Tokens> tokens)
      : services_{backend, o.paths, o.version, std::make_shared<Endings>(backend)}, tokens_(std::move(tokens)) {}

  tl::expected<net::Admission, net::Refusal> admit(const net::Request& head) {
    net::Admission out;
    auto found = match(head.method, head.target);
    bool open = found && found->route->open;
    auto who = identify(head);
    if (!who && !open) return tl::unexpected(who.error());  // before 404: strangers learn nothing of the paths
    if (!found) return tl::unexpected(found.error());
    out.who = who.value_or("");
    out.body_limit = max_job_body;
    if (found->route->body == BodyKind::none) out.body_limit = 64 << 10;  // taken and ignored
    if (found->route->body == BodyKind::webhook) out.body_limit = max_webhook;
    if (found->route->body == BodyKind::upload) {
      out.body_limit = max_upload;
      out.body_file = services_.paths.upload(new_id());
    }
    return out;
  }

  void handle(net::Request request, std::shared_ptr<net::Reply> reply) {
    auto found = match(request.method, request.target);
    if (!found) return reply->refuse(found.error());
    Call call{services_, request, std::move(reply), found->id, found->name, found->ci};
    found->route->handle(call);
  }

 private:
  tl::expected<std::string, net::Refusal> identify(const net::Request& head) {
    if (head.peer.uid) {
      auto [known, fresh] = names_.try_emplace(*head.peer.uid);
      if (fresh) known->second = user_name(*head.peer.uid);  // asked once: the answer may come over a network
      return known->second;
    }
    constexpr std::string_view scheme = "Bearer ";
    auto header = head.header("authorization");
    bool bearer = header.size() > scheme.size() && header.substr(0, scheme.size()) == scheme;
    if (bearer && tokens_)
      if (auto who = tokens_->who(trim(header.substr(scheme.size())))) return *who;
    Error e{ErrorCode::denied, bearer ? "this token is not known here" : "a bearer token is needed", "authorization",
            "Send 'Authorization: Bearer TOKEN' with a token from the server's file of tokens."};
    return tl::unexpected(net::Refusal{401, e, {{"WWW-Authenticate", "Bearer"}}});
  }

  // Cannot be guessed: an upload belongs to whoever knows its id.
  static std::string new_id() {
    char bytes[16];
    MAYFLY_CHECK(::getrandom(bytes, sizeof bytes, 0) == sizeof bytes);
    return to_hex({bytes, sizeof bytes});
  }

  Services services_;
  std::optional<Tokens> tokens_;
  std::map<uid_t, std::string> names_;
};

// What a killed daemon was taking in: nobody can name it, and no client goes on with it.
void remove_broken_uploads(const std::string& directory) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored))
    if (entry.path().extension() == ".part") std::filesystem::remove(entry.path(), ignored);
}

}  // namespace

Result<std::unique_ptr<net::Server>> serve(ServiceOptions options, Backend& backend, const Log& log) {
  std::optional<Tokens> tokens;
  if (!options.server.tokens.empty()) {
    MAYFLY_ASSIGN(tokens, Tokens::load(options.server.tokens));
  }
  if (!options.server.listen.empty() && (!tokens || tokens->size() == 0))
    return fail(ErrorCode::invalid, "listening on TCP without tokens would let nobody in", options.server.listen,
                "Set server.tokens to a file of lines 'NAME SHA256-OF-TOKEN'.");
  if (::mkdir(options.paths.uploads().c_str(), 0700) != 0 && errno != EEXIST)
    return Unexpected(errno_error("cannot make the directory for uploads", errno, options.paths.uploads()));
  remove_broken_uploads(options.paths.uploads());
  auto limits = options.limits;
  limits.socket_path = options.paths.socket();
  limits.listen = options.server.listen;
  limits.tls_certificate = options.server.tls_certificate;
  limits.tls_key = options.server.tls_key;
  auto service = std::make_shared<Service>(options, backend, std::move(tokens));
  return net::Server::start(
      std::move(limits), [service](const net::Request& head) { return service->admit(head); },
      [service](net::Request request, std::shared_ptr<net::Reply> reply) {
        service->handle(std::move(request), std::move(reply));
      },
      log);
}

}  // namespace mayfly::api
