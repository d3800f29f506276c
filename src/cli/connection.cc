#include "cli/connection.h"

#include <fmt/format.h>

#include <fstream>

#include "base/text.h"
#include "model/json.h"
#include "model/state_paths.h"

namespace mayfly {
namespace {

std::string lookup(const CliEnvironment& e, const std::string& name) {
  auto it = e.variables.find(name);
  return it == e.variables.end() ? "" : it->second;
}

std::string given(const OptionValues& connection, std::string_view option) {
  auto it = connection.find(option);
  return it == connection.end() ? "" : it->second.back();
}

Result<std::string> read_token(const std::string& file) {
  std::ifstream in(file);
  std::string token(4097, '\0');
  in.read(token.data(), 4097);
  token.resize(static_cast<std::size_t>(in.gcount()));
  if (!in.is_open())
    return fail(ErrorCode::not_found, "the token cannot be read", file, "Check the name after --token-file.");
  std::string trimmed(trim(token));
  if (trimmed.empty() || token.size() > 4096 || trimmed.find_first_of("\r\n") != std::string::npos)
    return fail(ErrorCode::invalid, "not one line with a token", file);
  return trimmed;
}

Result<DaemonAddress> by_url(std::string url, const std::string& why, const OptionValues& connection,
                             const CliEnvironment& environment) {
  DaemonAddress out;
  out.why = why;
  if (url.starts_with("unix://")) {
    out.server.unix_socket = url.substr(7);
    if (!out.server.unix_socket.starts_with('/'))
      return fail(ErrorCode::invalid, fmt::format("'{}' names no socket", url), why, "Write unix:///PATH.");
    return out;
  }
  while (url.ends_with('/')) url.pop_back();
  if (!url.starts_with("https://") || url.size() == 8)
    return fail(ErrorCode::invalid, fmt::format("'{}' is not an address of a daemon", url), why,
                "Write https://HOST[:PORT] or unix:///PATH.");
  if (url.find('/', 8) != std::string::npos || url.find('@') != std::string::npos)
    return fail(ErrorCode::invalid, fmt::format("'{}' has more than a host and a port", url), why);
  out.server.url = std::move(url);
  out.server.ca_file = given(connection, "ca").empty() ? lookup(environment, "MAYFLY_CA") : given(connection, "ca");
  auto file = given(connection, "token-file");
  if (!file.empty()) {
    MAYFLY_ASSIGN(out.server.bearer_token, read_token(file));
  } else {
    out.server.bearer_token = lookup(environment, "MAYFLY_TOKEN");
  }
  if (out.server.bearer_token.find_first_of("\r\n") != std::string::npos)
    return fail(ErrorCode::invalid, "the token has a line break", "MAYFLY_TOKEN");
  return out;
}

DaemonAddress by_state(const std::string& directory, std::string why) {
  DaemonAddress out;
  out.server.unix_socket = StatePaths{directory}.socket();
  out.why = std::move(why);
  return out;
}

}  // namespace

std::string state_directory(const std::string& given_directory, const CliEnvironment& e) {
  if (!given_directory.empty()) return given_directory;
  if (auto s = lookup(e, "MAYFLY_STATE"); !s.empty()) return s;
  if (e.is_root) return "/var/lib/mayfly";
  if (auto s = lookup(e, "XDG_STATE_HOME"); s.starts_with('/')) return s + "/mayfly";
  return lookup(e, "HOME") + "/.local/state/mayfly";
}

Result<DaemonAddress> find_daemon(const OptionValues& connection, const CliEnvironment& environment) {
  auto server = given(connection, "server"), state = given(connection, "state");
  if (!server.empty() && !state.empty())
    return fail(ErrorCode::invalid, "--server and --state both name a daemon", {}, "Give one of them.");
  if (!server.empty()) return by_url(server, "--server", connection, environment);
  if (!state.empty()) return by_state(state, "--state");
  if (auto url = lookup(environment, "MAYFLY_SERVER"); !url.empty())
    return by_url(url, "MAYFLY_SERVER", connection, environment);
  bool named = !lookup(environment, "MAYFLY_STATE").empty();
  return by_state(state_directory("", environment), named ? "MAYFLY_STATE" : "the default place");
}

Result<HttpAnswer> Api::send(const HttpRequest& request, const HttpStream* stream) {
  auto answer = stream ? client_.stream(request, *stream) : client_.request(request);
  if (!answer) {
    if (!client_.connected()) return Unexpected(nobody_there(answer.error()));
    return answer;
  }
  if (answer->status / 100 == 2 || answer->stopped) return answer;
  if (auto o = parse_json_object(answer->body)) {
    if (auto* e = o->if_contains("error"); e && e->is_object()) {
      auto error = error_from_json(e->get_object());
      if (!error.what.empty()) return Unexpected(error);
    }
  }
  auto code = answer->status == 404                            ? ErrorCode::not_found
              : answer->status == 401 || answer->status == 403 ? ErrorCode::denied
              : answer->status == 502 || answer->status == 503 ? ErrorCode::unavailable
                                                               : ErrorCode::internal;
  return fail(
      code,
      fmt::format("{} {} was answered with status {} and no reason", request.method, request.path, answer->status),
      address_.server.name());
}

Error Api::nobody_there(const Error& cause) const {
  Error e{ErrorCode::unavailable, {}, {}, {}};
  e.what = fmt::format("no daemon answers at {} ({}): {}", address_.server.name(), address_.why, cause.what);
  if (cause.code == ErrorCode::denied || !cause.next.empty())
    e.next = cause.next;
  else if (address_.server.unix_socket.empty())
    e.next = "Check the address and that the daemon runs there.";
  else
    e.next = "Start one with `mayfly up`, or name another with --server URL or --state DIR.";
  return e;
}

Result<boost::json::object> Api::get(const std::string& path, Duration timeout) {
  HttpRequest request{.path = path};
  request.timeout = timeout;
  MAYFLY_ASSIGN(auto answer, send(request));
  return parse_json_object(answer.body);
}

Result<boost::json::object> Api::post(const std::string& path, const std::string& body) {
  HttpRequest request{.method = "POST", .path = path, .body = body};
  MAYFLY_ASSIGN(auto answer, send(request));
  return parse_json_object(answer.body);
}

bool Api::is_passing(const Error& error) {
  return error.code == ErrorCode::unavailable || error.code == ErrorCode::timeout;
}

}  // namespace mayfly
