#pragma once
// For tests of ci/github only: an App's key pair.
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

namespace mayfly::github::test {

inline std::string pem_of(EVP_PKEY* key) {
  std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
  MAYFLY_CHECK(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  char* data = nullptr;
  auto n = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(n)};
}

class Key {
 public:
  Key() : key_(EVP_RSA_gen(2048), EVP_PKEY_free) { MAYFLY_CHECK(key_); }
  std::string pem() const { return pem_of(key_.get()); }
  bool signed_by(std::string_view text, std::string_view signature) const {
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> c(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    auto bytes = [](std::string_view v) { return reinterpret_cast<const unsigned char*>(v.data()); };
    MAYFLY_CHECK(EVP_DigestVerifyInit(c.get(), nullptr, EVP_sha256(), nullptr, key_.get()) == 1);
    return EVP_DigestVerify(c.get(), bytes(signature), signature.size(), bytes(text), text.size()) == 1;
  }

 private:
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key_;
};

inline std::string elliptic_key() {
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  return pem_of(key.get());
}

}  // namespace mayfly::github::test
