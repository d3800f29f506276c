#pragma once
// Signatures that the container ecosystem's verifiers read: cosign's "simple signing" payload, and DSSE envelopes for
// attestations. ECDSA over P-256 (what cosign expects of a key) or Ed25519, as PEM.
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"

struct evp_pkey_st;

namespace mayfly::images {

// A private or public key; immutable, any thread.
class Key {
 public:
  // Private, without a passphrase. denied: others than its owner may read the file.
  static Result<Key> load_private(const std::string& path);
  static Result<Key> load_public(const std::string& path);

  // ASN.1 DER of ECDSA over the SHA-256 of the bytes; or Ed25519's 64 bytes.
  std::string sign(std::string_view bytes) const;
  bool verify(std::string_view bytes, std::string_view signature) const;

 private:
  explicit Key(evp_pkey_st* key);
  std::shared_ptr<evp_pkey_st> key_;
};

// What cosign signs of an image: the repository and the digest.
std::string simple_signing_payload(const std::string& repository, const std::string& digest);

// Dead Simple Signing Envelope: the payload, and a signature over its type and bytes.
std::string dsse_envelope(const Key& key, const std::string& payload_type, const std::string& payload);
// The payload, if the envelope bears a signature by this key.
Result<std::string> open_dsse_envelope(const Key& key, const std::string& envelope);

}  // namespace mayfly::images
