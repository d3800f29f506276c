#include "api/routes.h"

#include <charconv>

#include <fmt/format.h>

#include "api/handlers.h"
#include "base/text.h"

namespace mayfly::api {
namespace {

using P = ParameterType;

bool is_placeholder(std::string_view part) { return part == "{id}" || part == "{name}" || part == "{ci}"; }

// The segment that stands where the path has this placeholder.
std::string placed(const Route& route, const net::Target& target, std::string_view placeholder) {
  auto parts = split(std::string_view(route.path).substr(1), '/');
  for (std::size_t i = 0; i < parts.size(); ++i)
    if (parts[i] == placeholder) return target.segments[i];
  return {};
}

bool fits(const Route& route, const std::vector<std::string>& segments) {
  auto wanted = split(std::string_view(route.path).substr(1), '/');
  if (wanted.size() != segments.size()) return false;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    if (!is_placeholder(wanted[i]) && wanted[i] != segments[i]) return false;
  return true;
}

std::optional<std::uint64_t> read_number(std::string_view text) {
  std::uint64_t n = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (text.empty() || ec != std::errc() || end != text.data() + text.size() || n > INT64_MAX) return std::nullopt;
  return n;
}

tl::unexpected<net::Refusal> refuse(int status, ErrorCode code, std::string what, std::string where,
                                    std::string next = {},
                                    std::vector<std::pair<std::string, std::string>> headers = {}) {
  return tl::unexpected(
      net::Refusal{status, Error{code, std::move(what), std::move(where), std::move(next)}, std::move(headers)});
}

// The path as it would have to be written, with the asker's own id in place.
std::optional<std::string> nearest_path(const net::Target& target) {
  std::vector<std::string> candidates;
  for (const auto& route : routes()) {
    auto parts = split(std::string_view(route.path).substr(1), '/');
    for (std::size_t i = 0; i < parts.size(); ++i)
      if (is_placeholder(parts[i]) && i < target.segments.size()) parts[i] = target.segments[i];
    candidates.push_back("/" + join(parts, "/"));
  }
  return nearest(target.path, candidates);
}

std::string wrong_value(const Parameter& p, const std::string& value) {
  switch (p.type) {
    case P::text:
      return {};
    case P::flag:
      return value == "true" || value == "false" || value.empty() ? "" : "true or false";
    case P::number: {
      auto n = read_number(value);
      return n && *n <= p.max ? "" : fmt::format("a whole number up to {}", p.max);
    }
    case P::job_state:
      return job_state_from(value) ? "" : "the name of a job's state, such as queued or succeeded";
    case P::version:
      return SemVer::parse(value) ? "" : "a version such as 2.4.1";
    case P::log_format:
      return value == "raw" || value == "framed" ? "" : "raw or framed";
  }
  return {};
}

tl::expected<void, net::Refusal> check_parameters(const Route& route, const net::Target& target) {
  for (const auto& [name, value] : target.query) {
    const Parameter* known = nullptr;
    std::vector<std::string> names;
    for (const auto& p : route.parameters) {
      names.push_back(p.name);
      if (p.name == name) known = &p;
    }
    if (!known) {
      auto near = nearest(name, names);
      return refuse(400, ErrorCode::invalid, fmt::format("unknown query parameter '{}'", name), route.path,
                    near            ? fmt::format("Did you mean '{}'?", *near)
                    : names.empty() ? "It takes none."
                                    : fmt::format("Known: {}.", join(names, ", ")));
    }
    if (auto expected = wrong_value(*known, value); !expected.empty())
      return refuse(400, ErrorCode::invalid,
                    fmt::format("the query parameter '{}' is '{}', but must be {}", name, value, expected), route.path);
  }
  return {};
}

}  // namespace

tl::expected<Match, net::Refusal> match(const std::string& method, const net::Target& target) {
  std::vector<std::string> allowed;
  for (const auto& route : routes()) {
    if (!fits(route, target.segments)) continue;
    if (route.method != method && !(route.method == "GET" && method == "HEAD")) {
      allowed.push_back(route.method);
      continue;
    }
    Match found{&route, 0, {}, placed(route, target, "{ci}")};
    if (route.path.find("{name}") != std::string::npos) {
      found.name = placed(route, target, "{name}");
      if (!is_dns_label(found.name))
        return refuse(400, ErrorCode::invalid, fmt::format("'{}' cannot be a name", found.name), target.path,
                      "Names are of a-z, 0-9 and '-'.");
    }
    if (route.path.find("{id}") != std::string::npos) {
      auto id = read_number(target.segments[2]);
      if (!id || *id == 0)
        return refuse(400, ErrorCode::invalid, fmt::format("'{}' is not an id", target.segments[2]), target.path,
                      "Ids are whole numbers from 1 on.");
      found.id = *id;
    }
    if (auto checked = check_parameters(route, target); !checked) return tl::unexpected(checked.error());
    return found;
  }
  if (!allowed.empty()) {
    auto list = join(allowed, ", ");
    return refuse(405, ErrorCode::invalid, fmt::format("{} is not possible here", method), target.path,
                  fmt::format("Use {}.", list), {{"Allow", list}});
  }
  auto near = nearest_path(target);
  return refuse(404, ErrorCode::not_found, "there is no such path", target.path,
                near ? fmt::format("Did you mean {}?", *near) : "GET /v1/openapi.json lists them all.");
}

std::string Call::text(const std::string& parameter) const {
  auto found = request.target.query.find(parameter);
  return found == request.target.query.end() ? std::string() : found->second;
}

bool Call::flag(const std::string& parameter) const {
  auto found = request.target.query.find(parameter);
  return found != request.target.query.end() && found->second != "false";  // "?follow" says it, too
}

std::uint64_t Call::number(const std::string& parameter, std::uint64_t missing) const {
  return read_number(text(parameter)).value_or(missing);
}

}  // namespace mayfly::api
