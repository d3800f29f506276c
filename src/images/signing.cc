#include "images/signing.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <sys/stat.h>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "base/text.h"
#include "model/json.h"
#include "os/file.h"

namespace mayfly::images {

namespace json = boost::json;

namespace {

constexpr std::size_t max_key_file = 64u << 10;

// Without it OpenSSL would ask the terminal for a passphrase.
int no_passphrase(char*, int, int, void*) { return -1; }

using Bio = std::unique_ptr<BIO, int (*)(BIO*)>;
using Context = std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)>;

const EVP_MD* hash_of(EVP_PKEY* key) { return EVP_PKEY_is_a(key, "ED25519") ? nullptr : EVP_sha256(); }

Result<void> check_kind(EVP_PKEY* key, const std::string& path) {
  char group[64] = {};
  if (EVP_PKEY_is_a(key, "ED25519")) return {};
  if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, nullptr) == 1 &&
      std::string_view(group) == "prime256v1")
    return {};
  return fail(ErrorCode::unsupported, "this key is neither ECDSA over P-256 nor Ed25519", path,
              "Make one: openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem");
}

// DSSE's "pre-authentication encoding": what is signed cannot be read as another type or length.
std::string pae(std::string_view type, std::string_view payload) {
  return fmt::format("DSSEv1 {} {} {} {}", type.size(), type, payload.size(), payload);
}

}  // namespace

Key::Key(evp_pkey_st* key) : key_(key, EVP_PKEY_free) {}

Result<Key> Key::load_private(const std::string& path) {
  struct stat st{};
  if (::stat(path.c_str(), &st) != 0) return Unexpected(errno_error("cannot read the signing key", errno, path));
  if ((st.st_mode & 077) != 0)
    return fail(ErrorCode::denied, "others than its owner may read the signing key", path, "chmod 600 it");
  MAYFLY_ASSIGN(auto pem, os::read_file(path, max_key_file));
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  auto* raw = PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr);
  std::fill(pem.begin(), pem.end(), '\0');
  if (!raw)
    return fail(ErrorCode::invalid, "this is not a private key in PEM without a passphrase", path,
                "Make one: openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem");
  Key key(raw);
  MAYFLY_TRY(check_kind(raw, path));
  return key;
}

Result<Key> Key::load_public(const std::string& path) {
  MAYFLY_ASSIGN(auto pem, os::read_file(path, max_key_file));
  Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  auto* raw = PEM_read_bio_PUBKEY(bio.get(), nullptr, no_passphrase, nullptr);
  if (!raw)
    return fail(ErrorCode::invalid, "this is not a public key in PEM", path,
                "Take it from the private one: openssl pkey -in KEY.pem -pubout");
  Key key(raw);
  MAYFLY_TRY(check_kind(raw, path));
  return key;
}

std::string Key::sign(std::string_view bytes) const {
  Context context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  std::size_t size = 0;
  MAYFLY_CHECK(EVP_DigestSignInit(context.get(), nullptr, hash_of(key_.get()), nullptr, key_.get()) == 1);
  MAYFLY_CHECK(EVP_DigestSign(context.get(), nullptr, &size, data, bytes.size()) == 1);
  std::string out(size, '\0');
  MAYFLY_CHECK(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size, data, bytes.size()) ==
               1);
  out.resize(size);
  return out;
}

bool Key::verify(std::string_view bytes, std::string_view signature) const {
  Context context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  return EVP_DigestVerifyInit(context.get(), nullptr, hash_of(key_.get()), nullptr, key_.get()) == 1 &&
         EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()), signature.size(),
                          reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()) == 1;
}

std::string simple_signing_payload(const std::string& repository, const std::string& digest) {
  json::object critical{{"identity", json::object{{"docker-reference", repository}}},
                        {"image", json::object{{"docker-manifest-digest", digest}}},
                        {"type", "cosign container image signature"}};
  return json::serialize(json::object{{"critical", std::move(critical)}, {"optional", nullptr}});
}

std::string dsse_envelope(const Key& key, const std::string& payload_type, const std::string& payload) {
  json::object signature{{"keyid", ""}, {"sig", base64_encode(key.sign(pae(payload_type, payload)))}};
  return json::serialize(json::object{{"payloadType", payload_type},
                                      {"payload", base64_encode(payload)},
                                      {"signatures", json::array{std::move(signature)}}});
}

Result<std::string> open_dsse_envelope(const Key& key, const std::string& envelope) {
  boost::system::error_code error;
  auto value = json::parse(envelope, error);
  auto* o = error ? nullptr : value.if_object();
  auto payload = o ? base64_decode(text_at(*o, "payload")) : std::nullopt;
  auto* signatures = o ? o->if_contains("signatures") : nullptr;
  if (!payload || !signatures || !signatures->is_array())
    return fail(ErrorCode::invalid, "this is not a DSSE envelope");
  for (const auto& s : signatures->as_array()) {
    auto* entry = s.if_object();
    auto sig = entry ? base64_decode(text_at(*entry, "sig")) : std::nullopt;
    if (sig && key.verify(pae(text_at(*o, "payloadType"), *payload), *sig)) return *payload;
  }
  return fail(ErrorCode::denied, "the envelope bears no signature by this key");
}

}  // namespace mayfly::images
