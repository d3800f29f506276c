#include "base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace mayfly {

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

Result<std::int64_t> parse_bytes(std::string_view text) {
  struct Unit {
    std::string_view name;
    double factor;
  };
  static constexpr double k = 1000, ki = 1024;
  static constexpr std::array<Unit, 18> units{{{"", 1},
                                               {"B", 1},
                                               {"k", k},
                                               {"kB", k},
                                               {"KB", k},
                                               {"M", k * k},
                                               {"MB", k * k},
                                               {"G", k * k * k},
                                               {"GB", k * k * k},
                                               {"TB", k * k * k * k},
                                               {"Ki", ki},
                                               {"KiB", ki},
                                               {"Mi", ki * ki},
                                               {"MiB", ki * ki},
                                               {"Gi", ki * ki * ki},
                                               {"GiB", ki * ki * ki},
                                               {"Ti", ki * ki * ki * ki},
                                               {"TiB", ki * ki * ki * ki}}};
  auto bad = [&] {
    return fail(ErrorCode::invalid, fmt::format("'{}' is not a size", text), {},
                "Write a number and a unit, such as 512MiB or 4GiB.");
  };
  double number = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (ec != std::errc() || number < 0 || !std::isfinite(number)) return bad();
  auto unit = trim(std::string_view(end, text.data() + text.size() - end));
  for (const auto& u : units) {
    if (u.name != unit) continue;
    double bytes = number * u.factor;
    if (bytes > 9e18) return bad();
    return static_cast<std::int64_t>(bytes);
  }
  return bad();
}

std::string format_bytes(std::int64_t bytes) {
  static constexpr std::array<const char*, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
  double n = static_cast<double>(bytes);
  std::size_t i = 0;
  while (std::abs(n) >= 1024 && i + 1 < units.size()) n /= 1024, ++i;
  return i == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", n, units[i]);
}

Result<Duration> parse_duration(std::string_view text) {
  auto bad = [&] {
    return fail(ErrorCode::invalid, fmt::format("'{}' is not a duration", text), {},
                "Write a number and a unit, such as 90s, 10m or 1h30m.");
  };
  if (text.empty()) return bad();
  double total = 0;
  for (std::size_t i = 0; i < text.size();) {
    double number = 0;
    auto [end, ec] = std::from_chars(text.data() + i, text.data() + text.size(), number, std::chars_format::fixed);
    if (ec != std::errc() || !(number >= 0)) return bad();  // "nan" is a number to from_chars
    i = static_cast<std::size_t>(end - text.data());
    std::size_t start = i;
    while (i < text.size() && !is_digit(text[i]) && text[i] != '.') ++i;
    auto unit = text.substr(start, i - start);
    double factor = unit == "us"   ? 1
                    : unit == "ms" ? 1e3
                    : unit == "s"  ? 1e6
                    : unit == "m"  ? 60e6
                    : unit == "h"  ? 3600e6
                    : unit == "d"  ? 86400e6
                                   : 0;
    if (factor == 0) return bad();
    total += number * factor;
  }
  if (total > 3.2e15) return bad();  // more than a century: a typing error, and near overflow when added to a time
  return Duration(static_cast<std::int64_t>(total));
}

static std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::optional<std::string> best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
  if (word.size() > 100) return best;
  for (const auto& c : candidates) {
    std::size_t d = edit_distance(word, c);
    if (d < best_distance) best_distance = d, best = c;
  }
  return best;
}

bool is_dns_label(std::string_view text) {
  if (text.empty() || text.size() > 63 || text.front() == '-' || text.back() == '-') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-'; });
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> out;
  for (;;) {
    auto at = text.find(separator);
    out.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + 1);
  }
}

std::string join(const std::vector<std::string>& parts, std::string_view separator) {
  return fmt::format("{}", fmt::join(parts, separator));
}

std::string_view trim(std::string_view text) {
  auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

std::string to_lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return out;
}

std::size_t ill_formed_utf8(std::string_view s) {
  for (std::size_t i = 0; i < s.size();) {
    auto c = static_cast<unsigned char>(s[i]);
    std::size_t n = c < 0x80                ? 1
                    : c >= 0xc2 && c < 0xe0 ? 2
                    : c >= 0xe0 && c < 0xf0 ? 3
                    : c >= 0xf0 && c < 0xf5 ? 4
                                            : 0;
    if (n == 0 || i + n > s.size()) return i;
    for (std::size_t k = 1; k < n; ++k)
      if ((static_cast<unsigned char>(s[i + k]) & 0xc0) != 0x80) return i;
    auto second = n > 1 ? static_cast<unsigned char>(s[i + 1]) : 0U;
    bool overlong = (c == 0xe0 && second < 0xa0) || (c == 0xf0 && second < 0x90);
    bool surrogate = c == 0xed && second >= 0xa0, beyond = c == 0xf4 && second >= 0x90;
    if (overlong || surrogate || beyond) return i;
    i += n;
  }
  return std::string_view::npos;
}

std::string to_hex(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (unsigned char c : bytes) {
    out += "0123456789abcdef"[c >> 4];
    out += "0123456789abcdef"[c & 15];
  }
  return out;
}

static constexpr std::string_view base64_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::string base64_encode(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    auto at = [&](std::size_t k) { return k < bytes.size() ? static_cast<unsigned char>(bytes[k]) : 0U; };
    unsigned v = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
    out += base64_alphabet[v >> 18];
    out += base64_alphabet[v >> 12 & 63];
    out += i + 1 < bytes.size() ? base64_alphabet[v >> 6 & 63] : '=';
    out += i + 2 < bytes.size() ? base64_alphabet[v & 63] : '=';
  }
  return out;
}

std::optional<std::string> base64_decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 4) {
    unsigned v = 0;
    int pad = 0;
    for (std::size_t j = 0; j < 4; ++j) {
      char c = text[i + j];
      auto p = base64_alphabet.find(c);
      bool last = i + 4 == text.size();
      if (c == '=' && last && j >= 2)
        ++pad, p = 0;
      else if (p == std::string_view::npos || pad > 0)
        return std::nullopt;
      v = v << 6 | static_cast<unsigned>(p);
    }
    out += static_cast<char>(v >> 16);
    if (pad < 2) out += static_cast<char>(v >> 8 & 255);
    if (pad < 1) out += static_cast<char>(v & 255);
  }
  return out;
}

std::string shell_quote(const std::vector<std::string>& argv) {
  std::string out;
  for (const auto& a : argv) {
    if (!out.empty()) out += ' ';
    bool plain =
        !a.empty() && a.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%") ==
                          std::string::npos;
    if (plain) {
      out += a;
      continue;
    }
    out += '\'';
    for (char c : a) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
    out += '\'';
  }
  return out;
}

}  // namespace mayfly
