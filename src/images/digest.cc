#include "images/digest.h"

#include <openssl/evp.h>

#include <array>

#include "base/result.h"
#include "base/text.h"

namespace mayfly {

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  MAYFLY_CHECK(state_->context && EVP_DigestInit_ex(state_->context, EVP_sha256(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::bytes(std::string_view data) {
  MAYFLY_CHECK(EVP_DigestUpdate(state_->context, data.data(), data.size()) == 1);
}

void Sha256::part(std::string_view data) {
  bytes(std::to_string(data.size()) + ":");
  bytes(data);
}

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest{};
  unsigned length = 0;
  MAYFLY_CHECK(EVP_DigestFinal_ex(state_->context, digest.data(), &length) == 1);
  return to_hex({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string sha256_hex(std::string_view text) {
  Sha256 hash;
  hash.bytes(text);
  return hash.hex();
}

}  // namespace mayfly
