#include "net/target.h"

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly::net {
namespace {

constexpr std::size_t max_segments = 32, max_parameters = 64;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Unexpected bad(std::string what) { return fail(ErrorCode::invalid, std::move(what), "request target"); }

Result<void> read_query(std::string_view text, std::map<std::string, std::string>& query) {
  for (auto& pair : split(text, '&')) {
    if (pair.empty()) continue;
    std::string_view view(pair);
    auto equals = view.find('=');
    auto name = percent_decode(view.substr(0, equals), true);
    auto value = percent_decode(equals == std::string_view::npos ? std::string_view() : view.substr(equals + 1), true);
    if (!name || !value) return bad("a query parameter is not valid percent-encoding");
    if (query.size() >= max_parameters) return bad("too many query parameters");
    if (!query.emplace(*name, *value).second) return bad(fmt::format("the query parameter '{}' is given twice", *name));
  }
  return {};
}

}  // namespace

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '+' && plus_is_space) {
      out += ' ';
    } else if (c != '%') {
      out += c;
    } else {
      if (i + 2 >= text.size()) return std::nullopt;
      int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0 || (high == 0 && low == 0)) return std::nullopt;  // NUL would cut a path short
      out += static_cast<char>(high << 4 | low);
      i += 2;
    }
  }
  return out;
}

Result<Target> parse_target(std::string_view target) {
  if (target.empty() || target[0] != '/') return bad("it must be a path that starts with '/'");
  Target out;
  if (auto hash = target.find('#'); hash != std::string_view::npos) return bad("it must not have a fragment");
  auto question = target.find('?');
  auto path = target.substr(1, question == std::string_view::npos ? std::string_view::npos : question - 1);
  if (!path.empty() && path.back() == '/') path.remove_suffix(1);  // "/v1/jobs/" is "/v1/jobs"
  out.path = "/";
  if (!path.empty()) {
    for (auto& part : split(path, '/')) {
      auto decoded = percent_decode(part, false);
      if (!decoded) return bad("the path is not valid percent-encoding");
      if (out.segments.size() >= max_segments) return bad("the path has too many parts");
      if (!out.segments.empty()) out.path += '/';
      out.path += *decoded;
      out.segments.push_back(std::move(*decoded));
    }
  }
  if (question != std::string_view::npos) MAYFLY_TRY(read_query(target.substr(question + 1), out.query));
  return out;
}

}  // namespace mayfly::net
