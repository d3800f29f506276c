#include "model/version.h"

#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly {
namespace {

bool is_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t n = 0;
  if (!is_digits(text) || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
  // One below the greatest number, so that the next version of each can be named.
  return ec == std::errc() && n < UINT32_MAX ? std::optional(n) : std::nullopt;
}

bool is_pre(std::string_view text) {
  if (text.size() > 64) return false;
  for (const auto& part : split(text, '.')) {
    if (part.empty()) return false;
    for (char c : part)
      if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-')) return false;
    if (is_digits(part) && part.size() > 1 && part[0] == '0') return false;
  }
  return true;
}

// One identifier of a pre-release part: numbers by value and below words, words by bytes.
std::strong_ordering compare_part(const std::string& a, const std::string& b) {
  bool an = is_digits(a), bn = is_digits(b);
  if (an != bn) return an ? std::strong_ordering::less : std::strong_ordering::greater;
  if (an && a.size() != b.size()) return a.size() <=> b.size();
  return a.compare(b) <=> 0;
}

std::strong_ordering compare_pre(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return a.empty() <=> b.empty();  // without one is higher
  auto as = split(a, '.'), bs = split(b, '.');
  for (std::size_t i = 0; i < as.size() && i < bs.size(); ++i)
    if (auto c = compare_part(as[i], bs[i]); c != 0) return c;
  return as.size() <=> bs.size();
}

Unexpected bad_version(std::string_view text) {
  return fail(ErrorCode::invalid, fmt::format("'{}' is not a version", text.substr(0, 80)), {},
              "A version is MAJOR.MINOR.PATCH, such as 2.4.1.");
}

}  // namespace

Result<SemVer> SemVer::parse(std::string_view text) {
  auto dash = text.find('-');
  auto parts = split(text.substr(0, dash), '.');
  SemVer v;
  if (dash != std::string_view::npos) v.pre = text.substr(dash + 1);
  if (parts.size() != 3 || (dash != std::string_view::npos && !is_pre(v.pre))) return bad_version(text);
  std::uint32_t* to[] = {&v.major, &v.minor, &v.patch};
  for (std::size_t i = 0; i < 3; ++i) {
    auto n = number(parts[i]);
    if (!n) return bad_version(text);
    *to[i] = *n;
  }
  return v;
}

std::string SemVer::text() const {
  return fmt::format("{}.{}.{}{}{}", major, minor, patch, pre.empty() ? "" : "-", pre);
}

std::strong_ordering SemVer::operator<=>(const SemVer& o) const {
  if (auto c = major <=> o.major; c != 0) return c;
  if (auto c = minor <=> o.minor; c != 0) return c;
  if (auto c = patch <=> o.patch; c != 0) return c;
  return compare_pre(pre, o.pre);
}

SemVer next_version(const std::optional<SemVer>& last, VersionLevel level) {
  if (!last) return {1, 0, 0};
  if (!last->pre.empty()) return {last->major, last->minor, last->patch};
  if (level == VersionLevel::major) return {last->major + 1, 0, 0};
  if (level == VersionLevel::minor) return {last->major, last->minor + 1, 0};
  return {last->major, last->minor, last->patch + 1};
}

Result<VersionRange> VersionRange::parse(std::string_view text) {
  VersionRange r;
  r.text_ = text;
  if (text == "latest") return r;
  char mark = text.empty() ? ' ' : text[0];
  bool marked = mark == '^' || mark == '~';
  auto rest = marked ? text.substr(1) : text;
  auto wrong = fail(ErrorCode::invalid, fmt::format("'{}' names no versions", text.substr(0, 80)), {},
                    "Write a version such as 2.4.1, a range such as ^2 or ~2.4, or latest.");
  if (auto whole = SemVer::parse(rest); whole && !marked) {
    r.exact_ = *whole;
    return r;
  }
  auto parts = split(rest, '.');
  std::uint32_t n[3] = {0, 0, 0};
  if (parts.size() > 3) return wrong;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto part = number(parts[i]);
    if (!part) return wrong;
    n[i] = *part;
  }
  r.from_ = SemVer{n[0], n[1], n[2]};
  bool minor_fixed = parts.size() >= 2 && (mark != '^' || n[0] == 0);
  bool patch_fixed = mark == '^' && parts.size() == 3 && n[0] == 0 && n[1] == 0;
  r.below_ = patch_fixed ? SemVer{0, 0, n[2] + 1} : minor_fixed ? SemVer{n[0], n[1] + 1, 0} : SemVer{n[0] + 1, 0, 0};
  return r;
}

bool VersionRange::fits(const SemVer& v) const {
  if (exact_) return v == *exact_;
  if (!v.pre.empty()) return false;
  return (!from_ || v >= *from_) && (!below_ || v < *below_);
}

std::pair<std::string_view, std::string_view> split_image(std::string_view image) {
  auto at = image.find('@');
  if (at == std::string_view::npos) return {image, {}};
  return {image.substr(0, at), image.substr(at + 1)};
}

std::string_view to_string(VersionLevel l) {
  return l == VersionLevel::major ? "major" : l == VersionLevel::minor ? "minor" : "patch";
}
std::optional<VersionLevel> version_level_from(std::string_view name) {
  for (auto l : {VersionLevel::patch, VersionLevel::minor, VersionLevel::major})
    if (to_string(l) == name) return l;
  return std::nullopt;
}

std::string_view to_string(VersionState s) { return s == VersionState::released ? "released" : "withdrawn"; }
std::optional<VersionState> version_state_from(std::string_view name) {
  for (auto s : {VersionState::released, VersionState::withdrawn})
    if (to_string(s) == name) return s;
  return std::nullopt;
}

}  // namespace mayfly
