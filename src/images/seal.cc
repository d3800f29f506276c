#include "images/seal.h"

#include <boost/json.hpp>

#include "base/text.h"
#include "images/bill.h"

namespace mayfly::images {

namespace json = boost::json;

namespace {

constexpr const char* in_toto_type = "application/vnd.in-toto+json";
constexpr const char* dsse_type = "application/vnd.dsse.envelope.v1+json";
constexpr const char* spdx_type = "application/spdx+json";

struct Layer {
  std::string bytes, type;
  json::object annotations;
};

Result<json::object> put(const OciLayout& layout, const Layer& layer) {
  MAYFLY_ASSIGN(auto blob, layout.add(layer.bytes, layer.type));
  auto o = blob.json();
  if (!layer.annotations.empty()) o["annotations"] = layer.annotations;
  return o;
}

// A manifest that points at the image it is about.
Result<Descriptor> add_referrer(const OciLayout& layout, const Descriptor& image, const std::string& artifact_type,
                                Layer layer) {
  MAYFLY_ASSIGN(auto config, layout.add("{}", "application/vnd.oci.empty.v1+json"));
  MAYFLY_ASSIGN(auto part, put(layout, layer));
  json::object manifest{{"schemaVersion", 2},
                        {"mediaType", manifest_type},
                        {"artifactType", artifact_type},
                        {"config", config.json()},
                        {"layers", json::array{std::move(part)}},
                        {"subject", image.json()}};
  return layout.add(json::serialize(manifest), manifest_type);
}

// cosign keeps signatures and attestations as layers of what looks like an ordinary image.
Result<void> add_cosign_image(const OciLayout& layout, const std::string& name, const std::vector<Layer>& layers) {
  json::array parts, ids, history;
  for (const auto& layer : layers) {
    MAYFLY_ASSIGN(auto part, put(layout, layer));
    ids.push_back(part["digest"]);
    history.push_back(json::object{{"created", "0001-01-01T00:00:00Z"}});
    parts.push_back(std::move(part));
  }
  json::object config{{"architecture", ""},
                      {"created", "0001-01-01T00:00:00Z"},
                      {"history", std::move(history)},
                      {"os", ""},
                      {"rootfs", json::object{{"type", "layers"}, {"diff_ids", std::move(ids)}}},
                      {"config", json::object{}}};
  MAYFLY_ASSIGN(auto blob, layout.add(json::serialize(config), "application/vnd.oci.image.config.v1+json"));
  json::object manifest{
      {"schemaVersion", 2}, {"mediaType", manifest_type}, {"config", blob.json()}, {"layers", std::move(parts)}};
  MAYFLY_ASSIGN(auto made, layout.add(json::serialize(manifest), manifest_type));
  return layout.set_name(name, made);
}

// Its entries have no artifactType: skopeo before 1.14 refuses to send an index that has one unchanged. Readers find it
// in the manifests.
Result<void> add_referrers_index(const OciLayout& layout, const std::vector<Descriptor>& referrers) {
  json::array entries;
  for (const auto& r : referrers) entries.push_back(r.json());
  json::object index{{"schemaVersion", 2}, {"mediaType", index_type}, {"manifests", std::move(entries)}};
  MAYFLY_ASSIGN(auto made, layout.add(json::serialize(index), index_type));
  return layout.set_name(referrers_name, made);
}

Result<void> add_documents(const OciLayout& attached, const Descriptor& image, const Contents& contents,
                           const ReleaseFacts& facts, const std::optional<Key>& key) {
  auto sbom = spdx_document(contents, facts, image.digest);
  auto origin = in_toto_statement(facts.image, image.digest, provenance_predicate, provenance(facts));
  auto about_sbom = in_toto_statement(facts.image, image.digest, spdx_predicate, json::parse(sbom).as_object());
  auto origin_layer =
      key ? Layer{dsse_envelope(*key, in_toto_type, origin), dsse_type, {}} : Layer{origin, in_toto_type, {}};
  if (key) {
    // cosign asks for the annotation `signature`, empty: the envelope has its own.
    auto annotations = [](const char* predicate) {
      return json::object{{"dev.cosignproject.cosign/signature", ""}, {"predicateType", predicate}};
    };
    MAYFLY_TRY(
        add_cosign_image(attached, attestations_name,
                         {{dsse_envelope(*key, in_toto_type, about_sbom), dsse_type, annotations(spdx_predicate)},
                          {origin_layer.bytes, dsse_type, annotations(provenance_predicate)}}));
  }
  MAYFLY_ASSIGN(auto sbom_manifest, add_referrer(attached, image, spdx_type, {sbom, spdx_type, {}}));
  MAYFLY_ASSIGN(auto origin_manifest, add_referrer(attached, image, in_toto_type, std::move(origin_layer)));
  // Last: with this name all of it is there.
  return add_referrers_index(attached, {sbom_manifest, origin_manifest});
}

}  // namespace

std::string signature_name(const std::string& repository) {
  return "signature-" + sha256_digest(repository).substr(7, 16);
}

std::string referrers_tag(const std::string& digest) {
  MAYFLY_CHECK(is_sha256_digest(digest));
  return "sha256-" + digest.substr(7);
}

Result<void> seal(const OciLayout& attached, const Descriptor& image, const Contents& contents,
                  const std::string& repository, const ReleaseFacts& facts, const std::optional<Key>& key) {
  MAYFLY_TRY(attached.create());
  if (!attached.find(referrers_name)) MAYFLY_TRY(add_documents(attached, image, contents, facts, key));
  if (!key || attached.find(signature_name(repository))) return {};
  auto payload = simple_signing_payload(repository, image.digest);
  json::object signature{{"dev.cosignproject.cosign/signature", base64_encode(key->sign(payload))}};
  return add_cosign_image(attached, signature_name(repository),
                          {{payload, "application/vnd.dev.cosign.simplesigning.v1+json", std::move(signature)}});
}

}  // namespace mayfly::images
