#include "images/verify.h"

#include <algorithm>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "base/text.h"
#include "images/registry.h"
#include "images/seal.h"

namespace mayfly::images {

namespace json = boost::json;

namespace {

struct Layer {
  std::string bytes, signature;
};

std::string text_at(const json::value& v, std::string_view pointer) {
  boost::system::error_code error;
  const auto* found = v.find_pointer(pointer, error);
  return found && found->is_string() ? std::string(found->as_string()) : std::string();
}

json::value parsed(const std::string& text) {
  boost::system::error_code error;
  auto value = json::parse(text, error);
  return error ? json::value() : value;
}

// The layers of one of cosign's images, each checked against its digest.
Result<std::vector<Layer>> layers_at(const std::string& repository, const std::string& tag, const OciLayout& layout,
                                     Deadline deadline) {
  MAYFLY_TRY(fetch(repository, tag, layout, tag, deadline));
  MAYFLY_ASSIGN(auto top, layout.find(tag));
  MAYFLY_ASSIGN(auto text, layout.read(top.digest));
  auto manifest = parsed(text);
  std::vector<Layer> out;
  boost::system::error_code error;
  const auto* list = manifest.find_pointer("/layers", error);
  if (!list || !list->is_array()) return fail(ErrorCode::invalid, "it has no layers", repository + ":" + tag);
  for (const auto& layer : list->as_array()) {
    MAYFLY_ASSIGN(auto bytes, layout.read(text_at(layer, "/digest")));
    out.push_back({std::move(bytes), text_at(layer, "/annotations/dev.cosignproject.cosign~1signature")});
  }
  return out;
}

std::string repository_of(std::string reference) {
  if (reference.starts_with("docker://")) reference.erase(0, 9);
  reference = reference.substr(0, reference.find('@'));
  auto colon = reference.rfind(':');
  auto slash = reference.rfind('/');
  if (colon != std::string::npos && (slash == std::string::npos || colon > slash)) reference.resize(colon);
  return reference;
}

bool signed_by(const Key& key, const Layer& layer, const std::string& digest) {
  auto signature = base64_decode(layer.signature);
  if (!signature || !key.verify(layer.bytes, *signature)) return false;
  return text_at(parsed(layer.bytes), "/critical/image/docker-manifest-digest") == digest;
}

}  // namespace

Result<VerifiedImage> verify_image(const std::string& reference, const Key& key, const std::string& folder,
                                   Deadline deadline) {
  const auto source = reference.starts_with("docker://") ? reference : "docker://" + reference;
  MAYFLY_ASSIGN(auto manifest, read_manifest(source, deadline));
  VerifiedImage out{repository_of(reference), sha256_digest(manifest), {}};
  if (auto at = reference.find('@'); at != std::string::npos && reference.substr(at + 1) != out.digest)
    return fail(ErrorCode::denied, fmt::format("the registry answers with {}", out.digest), reference);
  const OciLayout layout(folder);
  MAYFLY_TRY(layout.create());
  const auto tag = referrers_tag(out.digest);
  auto signatures = layers_at(out.repository, tag + ".sig", layout, deadline);
  if (!signatures && signatures.error().code == ErrorCode::not_found)
    return fail(ErrorCode::denied, fmt::format("{} is not signed", out.digest), reference);
  if (!signatures) return Unexpected(std::move(signatures).error());
  if (std::none_of(signatures->begin(), signatures->end(),
                   [&](const auto& s) { return signed_by(key, s, out.digest); }))
    return fail(ErrorCode::denied, fmt::format("{} bears no signature by this key", out.digest), reference);
  auto attestations = layers_at(out.repository, tag + ".att", layout, deadline);
  if (!attestations && attestations.error().code == ErrorCode::not_found) return out;
  if (!attestations) return Unexpected(std::move(attestations).error());
  for (const auto& layer : *attestations) {
    auto statement = open_dsse_envelope(key, layer.bytes);
    if (!statement) return fail(ErrorCode::denied, "an attestation bears no signature by this key", reference);
    auto value = parsed(*statement);
    if ("sha256:" + text_at(value, "/subject/0/digest/sha256") != out.digest)
      return fail(ErrorCode::denied, "an attestation is about another image", reference);
    out.attestations.push_back({text_at(value, "/predicateType"), std::move(*statement)});
  }
  return out;
}

}  // namespace mayfly::images
