#pragma once
// Replaces the values of secrets by *** in a stream that arrives in pieces. A value cut across pieces is found all the
// same: what might be the beginning of one is held back until it is decided. The result is that of masking the whole.
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace mayfly::agent {

// Shorter values would mask half of every log.
inline constexpr std::size_t min_masked_length = 4;

// What to look for: each value, and each line of a value of several lines (a key printed through a pager, say).
std::vector<std::string> mask_patterns(const std::map<std::string, std::string>& secrets);

class Masker {
 public:
  explicit Masker(std::vector<std::string> patterns);
  bool idle() const { return patterns_.empty(); }
  // Appends to `out` what is decided. Where several patterns begin, the first place wins, and there the longest.
  void feed(std::string_view data, std::string& out);
  // The stream is over: what was held back is no secret as a whole.
  void finish(std::string& out);

 private:
  std::size_t scan(std::string_view data, bool final, std::string& out) const;  // returns how much was decided

  std::vector<std::string> patterns_;                   // longest first
  std::array<std::vector<std::size_t>, 256> by_first_;  // indexes of patterns by their first byte, longest first
  std::string held_;
};

std::string mask_all(const std::vector<std::string>& patterns, std::string_view text);

}  // namespace mayfly::agent
