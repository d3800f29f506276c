// Headers as rpm keeps them, for tests.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace mayfly::images {

inline std::string big_endian(std::uint32_t n) {
  std::string out;
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(n >> shift & 0xff);
  return out;
}

struct Value {
  std::uint32_t tag, type;
  std::string bytes;
};

inline std::string header_of(const std::vector<Value>& values) {
  std::string index, data;
  for (const auto& v : values) {
    for (auto n : {v.tag, v.type, static_cast<std::uint32_t>(data.size()), 1u}) index += big_endian(n);
    data += v.bytes;
  }
  return big_endian(static_cast<std::uint32_t>(values.size())) + big_endian(static_cast<std::uint32_t>(data.size())) +
         index + data;
}

inline std::string text(const std::string& words) { return words + std::string(1, '\0'); }

}  // namespace mayfly::images
