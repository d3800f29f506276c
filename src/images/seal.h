#pragma once
// What is attached to a published image, made once and kept, so that every registry and every retry gets the same
// bytes. Two forms, for two kinds of readers:
//  - OCI referrers (distribution-spec 1.1): a manifest with a `subject` for the SBOM and one for the provenance, and
//  the
//    index under the tag `sha256-HEX` for registries without the referrers API;
//  - cosign's: the tags `sha256-HEX.sig` and `sha256-HEX.att`, only with a signing key.
#include <optional>
#include <string>

#include "images/oci_layout.h"
#include "images/signing.h"
#include "ports/publisher.h"

namespace mayfly::images {

// The names of what seal() makes, in its layout; the tags that registries get them under are below.
inline constexpr const char* referrers_name = "referrers";
inline constexpr const char* attestations_name = "attestations";
std::string signature_name(const std::string& repository);  // the signed payload names the repository

// "sha256:HEX" → "sha256-HEX" and, for cosign, ".sig" or ".att" behind it.
std::string referrers_tag(const std::string& digest);

// Makes what is not there yet. Idempotent; one caller at a time for each layout.
Result<void> seal(const OciLayout& attached, const Descriptor& image, const Contents& contents,
                  const std::string& repository, const ReleaseFacts& facts, const std::optional<Key>& key);

}  // namespace mayfly::images
