#pragma once
// Small pure helpers on text that more than one room needs.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace mayfly {

// "4GiB", "512MiB", "10GB", "1024" → bytes. Units: B, kB/MB/GB/TB (powers of 1000), KiB/MiB/GiB/TiB, and k8s'
// Ki/Mi/Gi/Ti.
Result<std::int64_t> parse_bytes(std::string_view text);
std::string format_bytes(std::int64_t bytes);  // "4.0 GiB"

// "90s", "10m", "1h30m", "250ms" → a duration; a bare number is an error, because its unit would be a guess.
Result<Duration> parse_duration(std::string_view text);

// The candidate nearest to `word` by edit distance, if near enough to be what was meant.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates);

// 1–63 of a-z, 0-9 and '-', starting and ending with a letter or digit: a DNS label, since builder ids become
// hostnames.
bool is_dns_label(std::string_view text);

std::vector<std::string> split(std::string_view text, char separator);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
std::string_view trim(std::string_view text);
std::string to_lower(std::string_view text);  // A–Z only, whatever the locale
// Offset of the first byte that is not part of well-formed UTF-8; npos: there is none.
std::size_t ill_formed_utf8(std::string_view text);
std::string to_hex(std::string_view bytes);
std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);

// As a POSIX shell would need it quoted; for showing a command that a person may paste.
std::string shell_quote(const std::vector<std::string>& argv);

// The names under which a map has something, to choose the nearest from.
template <class Map>
std::vector<std::string> keys_of(const Map& map) {
  std::vector<std::string> out;
  for (const auto& [key, value] : map) out.push_back(key);
  return out;
}

}  // namespace mayfly
