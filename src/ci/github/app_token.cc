#include "ci/github/app_token.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>

#include <boost/json.hpp>

#include "base/text.h"

namespace mayfly::github {
namespace {

namespace json = boost::json;

constexpr auto issued_earlier = seconds(60);
constexpr auto valid_for = std::chrono::minutes(9);

// A key with a passphrase must not make the daemon ask its terminal.
int no_passphrase(char*, int, int, void*) { return 0; }

Result<std::string> sign(std::string_view text, std::string_view private_key_pem) {
  std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(private_key_pem.data(), static_cast<int>(private_key_pem.size())), BIO_free);
  MAYFLY_CHECK(bio);
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(
      PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr), EVP_PKEY_free);
  ERR_clear_error();
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA)
    return fail(ErrorCode::invalid, "the App's private key is not an RSA key in PEM", "github",
                "Use the file as GitHub gave it out: -----BEGIN RSA PRIVATE KEY----- and the lines after it.");
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  auto bytes = reinterpret_cast<const unsigned char*>(text.data());
  std::size_t length = 0;
  MAYFLY_CHECK(context && EVP_DigestSignInit(context.get(), nullptr, EVP_sha256(), nullptr, key.get()) == 1 &&
               EVP_DigestSign(context.get(), nullptr, &length, bytes, text.size()) == 1);
  std::string signature(length, '\0');
  if (EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &length, bytes, text.size()) !=
      1) {
    ERR_clear_error();
    return fail(ErrorCode::invalid, "the App's private key cannot sign", "github",
                "Make a new one in the App's settings.");
  }
  signature.resize(length);
  return signature;
}

}  // namespace

std::string base64_url(std::string_view bytes) {
  auto out = base64_encode(bytes);
  while (out.ends_with('=')) out.pop_back();
  for (char& c : out) c = c == '+' ? '-' : c == '/' ? '_' : c;
  return out;
}

Result<std::string> app_token(const std::string& issuer, std::string_view private_key_pem, Time server_now) {
  auto now = std::chrono::floor<seconds>(server_now).time_since_epoch().count();
  auto claims = json::object{{"iat", now - issued_earlier.count()},
                             {"exp", now + std::chrono::duration_cast<seconds>(valid_for).count()},
                             {"iss", issuer}};
  auto text = base64_url(R"({"alg":"RS256","typ":"JWT"})") + "." + base64_url(json::serialize(claims));
  MAYFLY_ASSIGN(auto signature, sign(text, private_key_pem));
  return text + "." + base64_url(signature);
}

}  // namespace mayfly::github
