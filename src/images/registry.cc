#include "images/registry.h"

#include <fmt/format.h>

#include "base/text.h"
#include "os/skopeo.h"

namespace mayfly::images {
namespace {

std::string place(const std::string& repository, const std::string& tag) {
  return fmt::format("docker://{}:{}", repository, tag);
}

}  // namespace

Result<std::string> skopeo(std::vector<std::string> argv, const std::string& doing, const std::string& where,
                           Deadline deadline) {
  MAYFLY_CHECK(!argv.empty());
  auto full = os::skopeo_command(argv[0]);
  full.insert(full.end(), argv.begin() + 1, argv.end());
  auto done = os::run({.argv = std::move(full), .deadline = deadline});
  if (!done && done.error().code == ErrorCode::timeout)
    return fail(ErrorCode::timeout, doing + ": the registry did not answer in time", where,
                "Check that the registry can be reached from this host");
  if (!done) return Unexpected(std::move(done).error());
  if (!done->ok()) return Unexpected(os::skopeo_error(doing, where, *done));
  return std::move(done->out);
}

Result<std::string> read_manifest(const std::string& reference, Deadline deadline) {
  std::vector<std::string> argv{"inspect", "--raw"};
  if (os::is_loopback_registry(reference)) argv.emplace_back("--tls-verify=false");
  argv.push_back(reference);
  return skopeo(std::move(argv), "its manifest cannot be read", reference, deadline);
}

Result<std::optional<std::string>> digest_at(const std::string& repository, const std::string& tag, Deadline deadline) {
  auto manifest = read_manifest(place(repository, tag), deadline);
  if (manifest) return std::optional(sha256_digest(*manifest));
  if (manifest.error().code == ErrorCode::not_found) return std::optional<std::string>();
  return Unexpected(std::move(manifest).error());
}

Result<void> bring(const OciLayout& layout, const std::string& name, const std::string& digest,
                   const std::string& repository, const std::string& tag, Deadline deadline) {
  const auto to = place(repository, tag);
  std::vector<std::string> argv{"copy", "--quiet", "--all", "--preserve-digests"};
  if (os::is_loopback_registry(to)) argv.emplace_back("--dest-tls-verify=false");
  argv.insert(argv.end(), {layout.reference(name), to});
  MAYFLY_TRY(skopeo(std::move(argv), "it cannot be sent", to, deadline));
  MAYFLY_ASSIGN(auto there, digest_at(repository, tag, deadline));
  if (there == digest) return {};
  return fail(ErrorCode::unavailable,
              there ? fmt::format("the registry answers with {}, and was sent {}", *there, digest)
                    : std::string("the registry took it, and says that it has it not"),
              to, "The registry, or something on the way to it, changes what is stored; nobody is led there");
}

Result<void> fetch(const std::string& repository, const std::string& tag, const OciLayout& layout,
                   const std::string& name, Deadline deadline) {
  const auto from = place(repository, tag);
  std::vector<std::string> argv{"copy", "--quiet", "--all", "--preserve-digests"};
  if (os::is_loopback_registry(from)) argv.emplace_back("--src-tls-verify=false");
  argv.insert(argv.end(), {from, layout.reference(name)});
  MAYFLY_TRY(skopeo(std::move(argv), "it cannot be fetched", from, deadline));
  return {};
}

}  // namespace mayfly::images
