#include "os/skopeo.h"

#include <arpa/inet.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <initializer_list>

#include "base/text.h"

namespace mayfly::os {
namespace {

constexpr std::string_view registry_transport = "docker://";

bool has_any(const std::string& text, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* w) { return text.find(w) != std::string::npos; });
}

}  // namespace

bool is_loopback_registry(std::string_view reference) {
  if (!reference.starts_with(registry_transport)) return false;
  const auto rest = reference.substr(registry_transport.size());
  const auto host = rest.substr(0, rest.find('/'));
  if (host.size() == rest.size()) return false;  // a bare name is Docker Hub's
  if (host.starts_with("[::1]")) return true;
  const std::string name(host.substr(0, host.find(':')));
  if (name == "localhost") return true;
  in_addr address{};  // 127.evil.example is no address
  return inet_pton(AF_INET, name.c_str(), &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

std::vector<std::string> skopeo_command(const std::string& command) {
  std::vector<std::string> argv{"skopeo"};
  if (access("/etc/containers/policy.json", R_OK) != 0) argv.emplace_back("--insecure-policy");
  argv.push_back(command);
  return argv;
}

std::string skopeo_message(const Finish& done) {
  const auto line = done.last_error_line();
  const auto at = line.find("msg=\"");
  if (at == std::string::npos) return line;
  std::string text;
  for (std::size_t i = at + 5; i < line.size() && line[i] != '"'; ++i) {
    if (line[i] == '\\' && i + 1 < line.size()) ++i;
    text += line[i];
  }
  return text;
}

bool says_there_is_none(std::string message) {
  message = to_lower(std::move(message));
  return has_any(message, {"manifest unknown", "name unknown", "not found", "no such file", "does not exist",
                           "no descriptor found", "repository name not known",
                           "requested access to the resource is denied", "invalid reference format"}) &&
         message.find("no such host") == std::string::npos;
}

Error skopeo_error(const std::string& what, const std::string& where, const Finish& done) {
  const auto message = skopeo_message(done);
  const auto text = to_lower(message);
  if (has_any(text, {"unauthorized", "authentication required", "denied", "forbidden", "invalid username/password"}))
    return {ErrorCode::denied, what + ": " + message, where,
            "Give this daemon's user credentials that may write there: `skopeo login`, or a credential helper"};
  if (has_any(text, {"toomanyrequests", "too many requests", "status code 429", "no space left", "quota"}))
    return {ErrorCode::exhausted, what + ": " + message, where, "It is tried again later"};
  if (has_any(text, {"x509", "certificate"}))
    return {ErrorCode::unavailable, what + ": " + message, where,
            "Put the registry's CA into /etc/containers/certs.d/HOST:PORT/ca.crt"};
  if (says_there_is_none(message)) return {ErrorCode::not_found, what + ": " + message, where, {}};
  return {ErrorCode::unavailable, what + ": " + message, where,
          "Check that the registry can be reached from this host"};
}

}  // namespace mayfly::os
