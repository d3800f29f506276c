#include "agent/plain_text.h"

#include <cstdint>

namespace mayfly::agent {
namespace {

// Length of the well-formed UTF-8 sequence that `text` begins with; 0: none.
std::size_t sequence_length(std::string_view text) {
  auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i])); };
  std::uint32_t lead = byte(0);
  if (lead < 0x80) return 1;
  std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < length) return 0;
  std::uint32_t code = lead & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  if (length == 3 && (code < 0x800 || (code >= 0xd800 && code < 0xe000))) return 0;
  if (length == 4 && (code < 0x10000 || code > 0x10ffff)) return 0;
  return length;
}

}  // namespace

std::string plain_text(std::string_view text, std::size_t most) {
  std::string out;
  while (!text.empty()) {
    auto n = sequence_length(text);
    if (out.size() + (n == 0 ? 1 : n) > most) break;
    if (n == 0)
      out += '?', n = 1;
    else if (n == 1 && (static_cast<unsigned char>(text[0]) < ' ' || text[0] == '\x7f'))
      out += ' ';
    else
      out += text.substr(0, n);
    text.remove_prefix(n);
  }
  return out;
}

}  // namespace mayfly::agent
