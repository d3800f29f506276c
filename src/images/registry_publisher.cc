#include "images/registry_publisher.h"

#include <unistd.h>

#include <cstdio>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "images/bill.h"
#include "images/layer_reader.h"
#include "images/registry.h"
#include "images/seal.h"
#include "os/file.h"

namespace mayfly::images {

namespace json = boost::json;

namespace {

constexpr const char* image_name = "image";
constexpr std::size_t max_contents = 64u << 20;
constexpr std::int64_t slowest_upload = 1 << 20;  // bytes a second that an upload is given

std::string with_transport(const std::string& reference) {
  for (const char* t :
       {"docker://", "oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "dir:", "containers-storage:"})
    if (reference.starts_with(t)) return reference;
  return "containers-storage:" + reference;
}

OciLayout image_in(const std::string& folder) { return OciLayout(folder + "/image"); }

bool exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

// Exports the image with compressed layers. From here on nothing changes its bytes.
Result<void> export_image(const std::string& source, bool index, const std::string& compression, const OciLayout& to,
                          Deadline deadline) {
  std::vector<std::string> argv{"copy", "--quiet", "--format", "oci", "--dest-compress-format", compression};
  if (index) argv.emplace_back("--all");
  argv.insert(argv.end(), {source, to.reference(image_name)});
  MAYFLY_TRY(skopeo(std::move(argv), "the image cannot be exported", source, deadline));
  return {};
}

bool is_index(const std::string& manifest) {
  boost::system::error_code error;
  auto value = json::parse(manifest, error);
  return !error && value.is_object() && value.as_object().contains("manifests");
}

}  // namespace

std::string RegistryPublisher::folder_of(const std::string& image, const std::string& digest) const {
  MAYFLY_CHECK(is_sha256_digest(digest));
  return fmt::format("{}/{}/{}", options_.folder, image, digest.substr(7));
}

Result<Contents> RegistryPublisher::contents(const std::string& image, const std::string& digest) {
  if (!is_sha256_digest(digest)) return fail(ErrorCode::not_found, "it was never packed", image);
  MAYFLY_ASSIGN(auto text, os::read_file(folder_of(image, digest) + "/contents.json", max_contents));
  return contents_from_json(text);
}

Result<PackedImage> RegistryPublisher::known(const std::string& image, const std::string& digest) const {
  PackedImage packed;
  packed.digest = digest;
  const auto folder = folder_of(image, digest);
  MAYFLY_ASSIGN(packed.bytes, stored_bytes(image_in(folder), image_name));
  MAYFLY_ASSIGN(auto text, os::read_file(folder + "/contents.json", max_contents));
  MAYFLY_ASSIGN(packed.contents, contents_from_json(text));
  return packed;
}

Result<PackedImage> RegistryPublisher::pack(const PackOrder& order, Deadline deadline) {
  std::lock_guard one(packing_);
  const auto source = with_transport(order.reference);
  MAYFLY_ASSIGN(auto manifest, read_manifest(source, deadline));
  const auto source_digest = sha256_digest(manifest);
  const auto base = options_.folder + "/" + order.image;
  const auto source_key = base + "/from-" + sha256_digest(source_digest + order.compression).substr(7);
  auto with_source = [&](Result<PackedImage> packed) {
    if (packed) packed->source = source_digest;
    return packed;
  };
  if (auto digest = os::read_file(source_key, 100); digest && is_sha256_digest(*digest))
    if (auto packed = known(order.image, *digest)) return with_source(std::move(packed));
  // Complete or not there: made beside its place, and renamed.
  const auto part = source_key + ".part";
  MAYFLY_TRY(os::remove_tree(part));
  MAYFLY_TRY(os::make_directories(part));
  MAYFLY_TRY(export_image(source, is_index(manifest), order.compression, image_in(part), deadline));
  MAYFLY_ASSIGN(auto found, image_in(part).find(image_name));
  MAYFLY_ASSIGN(auto contents, read_contents(image_in(part), image_name));
  MAYFLY_TRY(os::write_file_atomically(part + "/contents.json", json::serialize(to_json(contents))));
  const auto folder = folder_of(order.image, found.digest);
  if (exists(folder))
    MAYFLY_TRY(os::remove_tree(part));
  else if (std::rename(part.c_str(), folder.c_str()) != 0)
    return Unexpected(errno_error("cannot keep the packed image", errno, folder));
  MAYFLY_TRY(os::write_file_atomically(source_key, found.digest));
  return with_source(known(order.image, found.digest));
}

// Somebody may have removed what was packed: the same image gives it again, another one is refused.
Result<void> RegistryPublisher::make_ready(const PublishOrder& order, Deadline deadline) {
  if (exists(folder_of(order.source.image, order.digest) + "/contents.json")) return {};
  MAYFLY_ASSIGN(auto packed, pack(order.source, deadline));
  if (packed.digest == order.digest) return {};
  return fail(ErrorCode::conflict,
              fmt::format("what was packed for this version is gone, and {} gives {} now", order.source.reference,
                          packed.digest),
              order.digest, "Release it anew");
}

Result<void> RegistryPublisher::publish(const PublishOrder& order, Deadline deadline) {
  if (!is_sha256_digest(order.digest)) return fail(ErrorCode::invalid, "it has no digest to publish", order.digest);
  MAYFLY_TRY(make_ready(order, deadline));
  const auto image = image_in(folder_of(order.source.image, order.digest));
  MAYFLY_ASSIGN(auto bytes, stored_bytes(image, image_name));
  auto each = [&](std::int64_t size) {
    return std::min(deadline, after(options_.patience + seconds(size / slowest_upload)));
  };
  MAYFLY_ASSIGN(auto there, digest_at(order.repository, order.facts.version, each(0)));
  if (there && *there != order.digest)
    return fail(ErrorCode::conflict,
                fmt::format("the tag {} stands on {} there, and is left so", order.facts.version, *there),
                order.repository, "A version is never given to another digest: release the next one");
  if (!there) MAYFLY_TRY(bring(image, image_name, order.digest, order.repository, order.facts.version, each(bytes)));
  MAYFLY_TRY(attach(order, each(0)));
  for (const auto& channel : order.channels)
    MAYFLY_TRY(bring(image, image_name, order.digest, order.repository, channel, each(bytes)));
  return {};
}

// The SBOM, the provenance and the signature come before any channel leads somebody to the image.
Result<void> RegistryPublisher::attach(const PublishOrder& order, Deadline deadline) {
  const auto folder = folder_of(order.source.image, order.digest);
  MAYFLY_ASSIGN(auto image, image_in(folder).find(image_name));
  MAYFLY_ASSIGN(auto platforms, images_of_index(image_in(folder), image_name));
  // Whoever has one platform's image by its digest finds its own documents.
  for (const auto& p : platforms) {
    MAYFLY_ASSIGN(auto what, read_contents(image_in(folder), p.image));
    MAYFLY_TRY(attach_to(order, p.image, what, deadline));
  }
  MAYFLY_ASSIGN(auto what, contents(order.source.image, order.digest));
  return attach_to(order, image, what, deadline);
}

Result<void> RegistryPublisher::attach_to(const PublishOrder& order, const Descriptor& image, const Contents& what,
                                          Deadline deadline) {
  const auto folder = folder_of(order.source.image, order.digest);
  const OciLayout attached(folder +
                           (image.digest == order.digest ? "/attached" : "/attached-" + image.digest.substr(7)));
  {
    std::lock_guard one(sealing_);
    MAYFLY_TRY(seal(attached, image, what, order.repository, order.facts, options_.key));
  }
  const auto tag = referrers_tag(image.digest);
  auto send = [&](const std::string& name, const std::string& to) -> Result<void> {
    MAYFLY_ASSIGN(auto part, attached.find(name));
    return bring(attached, name, part.digest, order.repository, to, deadline);
  };
  MAYFLY_TRY(send(referrers_name, tag));
  if (!options_.key) return {};
  MAYFLY_TRY(send(signature_name(order.repository), tag + ".sig"));
  return send(attestations_name, tag + ".att");
}

Result<void> RegistryPublisher::forget(const std::string& image, const std::string& digest) {
  return os::remove_tree(folder_of(image, digest));
}

}  // namespace mayfly::images
