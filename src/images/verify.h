#pragma once
// Checks a published image against a public key, from the registry alone: nothing of Mayfly's own records is asked.
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "images/signing.h"
#include "ports/platform.h"

namespace mayfly::images {

struct Attestation {
  std::string predicate_type;
  std::string statement;  // in-toto, JSON
};

struct VerifiedImage {
  std::string repository, digest;
  std::vector<Attestation> attestations;  // signed by the key, and about this digest
};

// `reference`: HOST/REPO[:TAG|@DIGEST], with or without docker://. denied: there is no signature by this key over this
// digest. `folder` is a place for temporary files; it is the caller's to remove.
Result<VerifiedImage> verify_image(const std::string& reference, const Key& key, const std::string& folder,
                                   Deadline deadline);

}  // namespace mayfly::images
