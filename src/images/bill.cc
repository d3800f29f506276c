#include "images/bill.h"

#include <fmt/format.h>
#include <boost/json.hpp>

#include "base/text.h"
#include "images/oci_layout.h"
#include "model/json.h"

namespace mayfly::images {

namespace json = boost::json;

namespace {

// RFC 3339 to the second, as SPDX asks for.
std::string spdx_time(Time t) { return format_time(t).substr(0, 19) + "Z"; }

// Percent-encoded as package URLs want it: also the '+' of Debian's versions.
std::string purl_part(std::string_view text) {
  std::string out;
  for (char c : text) {
    auto u = static_cast<unsigned char>(c);
    bool plain = (u >= 'a' && u <= 'z') || (u >= 'A' && u <= 'Z') || (u >= '0' && u <= '9') ||
                 std::string_view("-._~:").find(c) != std::string_view::npos;
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", u);
  }
  return out;
}

std::string purl(const Package& p, const Contents& c) {
  auto vendor = c.distribution;
  if (vendor.empty() && p.kind != "rpm") vendor = p.kind == "deb" ? "debian" : "alpine";
  // Of an rpm the epoch stands apart.
  std::string_view version = p.version, epoch;
  if (auto colon = version.find(':'); p.kind == "rpm" && colon != std::string_view::npos)
    epoch = version.substr(0, colon), version.remove_prefix(colon + 1);
  auto out = fmt::format("pkg:{}/{}{}@{}", p.kind, vendor.empty() ? "" : purl_part(vendor) + "/", purl_part(p.name),
                         purl_part(version));
  out += fmt::format("?arch={}", purl_part(p.architecture));
  if (!epoch.empty()) out += fmt::format("&epoch={}", purl_part(epoch));
  if (!c.distribution.empty())
    out += fmt::format("&distro={}-{}", purl_part(c.distribution), purl_part(c.distribution_version));
  return out;
}

// The keys that SPDX wants of every package, also where nothing is known.
json::object spdx_package(const std::string& id, const std::string& name, const std::string& version,
                          const std::string& url) {
  json::object o{{"SPDXID", id}, {"name", name}};
  if (!version.empty()) o["versionInfo"] = version;
  o["downloadLocation"] = "NOASSERTION";
  o["filesAnalyzed"] = false;
  o["licenseConcluded"] = "NOASSERTION";
  o["licenseDeclared"] = "NOASSERTION";
  o["copyrightText"] = "NOASSERTION";
  o["externalRefs"] = json::array{
      json::object{{"referenceCategory", "PACKAGE-MANAGER"}, {"referenceType", "purl"}, {"referenceLocator", url}}};
  return o;
}

json::object relation(const std::string& from, const char* type, const std::string& to) {
  return {{"spdxElementId", from}, {"relationshipType", type}, {"relatedSpdxElement", to}};
}

}  // namespace

std::string spdx_document(const Contents& contents, const ReleaseFacts& facts, const std::string& digest) {
  const std::string image_id = "SPDXRef-Image", document_id = "SPDXRef-DOCUMENT";
  auto hex = digest.substr(digest.find(':') + 1);
  auto image = spdx_package(image_id, facts.image, facts.version,
                            fmt::format("pkg:oci/{}@{}", purl_part(facts.image), purl_part(digest)));
  image["checksums"] = json::array{json::object{{"algorithm", "SHA256"}, {"checksumValue", hex}}};
  image["primaryPackagePurpose"] = "CONTAINER";
  json::array packages{image}, relations{relation(document_id, "DESCRIBES", image_id)};
  for (std::size_t i = 0; i < contents.packages.size(); ++i) {
    const auto& p = contents.packages[i];
    auto id = fmt::format("SPDXRef-Package-{}", i + 1);
    packages.push_back(spdx_package(id, p.name, p.version, purl(p, contents)));
    // Not licenseDeclared: packagers' names for licenses are not always SPDX's.
    if (!p.license.empty()) packages.back().as_object()["licenseComments"] = "The package says: " + p.license;
    relations.push_back(relation(image_id, "CONTAINS", id));
  }
  json::object document{{"spdxVersion", "SPDX-2.3"},
                        {"dataLicense", "CC0-1.0"},
                        {"SPDXID", document_id},
                        {"name", fmt::format("{}-{}", facts.image, facts.version)},
                        {"documentNamespace", fmt::format("https://spdx.org/spdxdocs/{}-{}-{}", purl_part(facts.image),
                                                          purl_part(facts.version), hex)},
                        {"creationInfo", json::object{{"created", spdx_time(facts.released_at)},
                                                      {"creators", json::array{"Tool: mayfly"}}}}};
  if (!contents.note.empty()) document["comment"] = contents.note;
  document["packages"] = std::move(packages);
  document["relationships"] = std::move(relations);
  return json::serialize(document);
}

std::string in_toto_statement(const std::string& image, const std::string& digest, const std::string& predicate_type,
                              json::object predicate) {
  json::object subject{{"name", image}, {"digest", json::object{{"sha256", digest.substr(digest.find(':') + 1)}}}};
  return json::serialize(json::object{{"_type", "https://in-toto.io/Statement/v1"},
                                      {"subject", json::array{subject}},
                                      {"predicateType", predicate_type},
                                      {"predicate", std::move(predicate)}});
}

json::object provenance(const ReleaseFacts& facts) {
  json::object external{{"image", facts.image}, {"version", facts.version}};
  json::array dependencies;
  if (!facts.recipe.empty()) external["recipe"] = facts.recipe;
  if (!facts.commit.empty())
    dependencies.push_back(json::object{{"uri", facts.recipe.empty() ? facts.image : facts.recipe},
                                        {"digest", json::object{{"gitCommit", facts.commit}}}});
  if (is_sha256_digest(facts.builder_digest))
    dependencies.push_back(json::object{{"name", "the image of the builder that built it"},
                                        {"digest", json::object{{"sha256", facts.builder_digest.substr(7)}}}});
  for (const auto& [name, digest] : facts.bases)
    if (is_sha256_digest(digest))
      dependencies.push_back(json::object{
          {"name", "base image"}, {"uri", "docker://" + name}, {"digest", json::object{{"sha256", digest.substr(7)}}}});
  json::array approvals;
  for (const auto& who : facts.approved_by) approvals.push_back(json::value(who));
  json::object internal{{"releasedBy", facts.released_by}, {"approvedBy", std::move(approvals)}};
  json::object definition{{"buildType", "https://mayfly.invalid/image-release/v1"},
                          {"externalParameters", std::move(external)},
                          {"internalParameters", std::move(internal)}};
  if (!dependencies.empty()) definition["resolvedDependencies"] = std::move(dependencies);
  json::object metadata{{"invocationId", fmt::format("{}@{}", facts.image, facts.version)},
                        {"finishedOn", spdx_time(facts.released_at)}};
  json::object run{{"builder", json::object{{"id", "https://mayfly.invalid/daemon"}}},
                   {"metadata", std::move(metadata)}};
  if (is_sha256_digest(facts.source_digest))
    run["byproducts"] = json::array{json::object{{"name", "the image as it was tried"},
                                                 {"digest", json::object{{"sha256", facts.source_digest.substr(7)}}}}};
  return {{"buildDefinition", std::move(definition)}, {"runDetails", std::move(run)}};
}

json::object to_json(const Contents& c) {
  json::array packages, programs;
  for (const auto& p : c.packages)
    packages.push_back(json::object{{"kind", p.kind},
                                    {"name", p.name},
                                    {"version", p.version},
                                    {"architecture", p.architecture},
                                    {"license", p.license}});
  for (const auto& p : c.programs) programs.push_back(json::value(p));
  return {{"distribution", c.distribution},
          {"distribution_version", c.distribution_version},
          {"note", c.note},
          {"packages", std::move(packages)},
          {"programs", std::move(programs)}};
}

Result<Contents> contents_from_json(const std::string& text) {
  boost::system::error_code error;
  auto value = json::parse(text, error);
  auto* o = error ? nullptr : value.if_object();
  if (!o) return fail(ErrorCode::invalid, "this is not a list of an image's contents");
  Contents c;
  c.distribution = text_at(*o, "distribution");
  c.distribution_version = text_at(*o, "distribution_version");
  c.note = text_at(*o, "note");
  if (auto* list = o->if_contains("packages"); list && list->is_array())
    for (const auto& p : list->as_array())
      if (auto* e = p.if_object())
        c.packages.push_back({text_at(*e, "kind"), text_at(*e, "name"), text_at(*e, "version"),
                              text_at(*e, "architecture"), text_at(*e, "license")});
  if (auto* list = o->if_contains("programs"); list && list->is_array())
    for (const auto& p : list->as_array())
      if (p.is_string()) c.programs.emplace_back(p.as_string());
  return c;
}

}  // namespace mayfly::images
