#pragma once
// The documents that travel with a published version: what is in it, and how it came to be. Pure.
#include <string>

#include <boost/json/object.hpp>

#include "model/contents.h"
#include "ports/publisher.h"

namespace mayfly::images {

// SPDX 2.3 as JSON (spdx.github.io/spdx-spec/v2.3): the image, and each package with its package URL. The same input
// gives the same bytes.
std::string spdx_document(const Contents& contents, const ReleaseFacts& facts, const std::string& digest);

// An in-toto Statement v1 about the image with this digest.
std::string in_toto_statement(const std::string& image, const std::string& digest, const std::string& predicate_type,
                              boost::json::object predicate);

inline constexpr const char* spdx_predicate = "https://spdx.dev/Document";
inline constexpr const char* provenance_predicate = "https://slsa.dev/provenance/v1";

// The predicate of SLSA provenance v1 (slsa.dev/spec/v1.0/provenance).
boost::json::object provenance(const ReleaseFacts& facts);

boost::json::object to_json(const Contents& contents);
Result<Contents> contents_from_json(const std::string& text);

}  // namespace mayfly::images
