#pragma once
// SHA-256, of a text or piece by piece. Any thread.
#include <memory>
#include <string>
#include <string_view>

namespace mayfly {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void bytes(std::string_view data);
  // With its length in front, so that no two sequences of parts hash alike.
  void part(std::string_view data);
  std::string hex();  // once, at the end

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view text);

}  // namespace mayfly
