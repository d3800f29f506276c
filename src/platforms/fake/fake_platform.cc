#include "platforms/fake/fake_platform.h"

#include <fmt/format.h>

#include "base/text.h"

namespace mayfly {
namespace {

// Of a pinned reference what it says; of any other 64 hex digits that depend on the reference and nothing else (FNV-1a,
// four times with different starts).
std::string digest_of(const std::string& reference) {
  if (auto at = reference.find("@sha256:"); at != std::string::npos) return reference.substr(at + 1);
  std::string digest = "sha256:";
  for (std::uint64_t round = 0; round < 4; ++round) {
    std::uint64_t h = 14695981039346656037ULL + round;
    for (unsigned char c : reference) h = (h ^ c) * 1099511628211ULL;
    digest += fmt::format("{:016x}", h);
  }
  return digest;
}

}  // namespace

PlatformHealth FakePlatform::health() {
  std::scoped_lock lock(mutex_);
  return health_;
}

Result<PlatformImage> FakePlatform::prepare(const std::string& reference, Deadline) {
  std::scoped_lock lock(mutex_);
  if (prepare_error_) return Unexpected(*prepare_error_);
  if (reference.empty()) return fail(ErrorCode::invalid, "an image needs a name");
  if (no_images_.contains(reference)) return fail(ErrorCode::not_found, "there is no such image", reference);
  return PlatformImage{.reference = reference,
                       .digest = digest_of(reference),
                       .env = {{"PATH", "/usr/bin:/bin"}},
                       .user = "",
                       .handle = reference};
}

Result<void> FakePlatform::launch(const BuilderRequest& request, Deadline deadline) {
  if (!is_dns_label(request.id)) return fail(ErrorCode::invalid, "a builder's id must be a host name", request.id);
  {
    std::scoped_lock lock(mutex_);
    if (launch_error_) return Unexpected(*launch_error_);
    if (no_images_.contains(request.image.reference))
      return fail(ErrorCode::not_found, "the image was removed", request.image.reference);
  }
  return world_.launch(request, deadline);
}

Result<void> FakePlatform::stop(const BuilderId& id, Deadline) {
  {
    std::scoped_lock lock(mutex_);
    if (stop_error_) return Unexpected(*stop_error_);
  }
  world_.remove(id);
  return {};
}

Result<std::vector<SeenBuilder>> FakePlatform::list(Deadline) {
  {
    std::scoped_lock lock(mutex_);
    if (list_error_) return Unexpected(*list_error_);
  }
  return world_.builders();
}

void FakePlatform::set_health(PlatformHealth health) {
  std::scoped_lock lock(mutex_);
  health_ = std::move(health);
}
void FakePlatform::remove_image(const std::string& reference) {
  std::scoped_lock lock(mutex_);
  no_images_.insert(reference);
}
void FakePlatform::restore_image(const std::string& reference) {
  std::scoped_lock lock(mutex_);
  no_images_.erase(reference);
}
void FakePlatform::fail_prepare(std::optional<Error> error) {
  std::scoped_lock lock(mutex_);
  prepare_error_ = std::move(error);
}
void FakePlatform::fail_launch(std::optional<Error> error) {
  std::scoped_lock lock(mutex_);
  launch_error_ = std::move(error);
}
void FakePlatform::fail_stop(std::optional<Error> error) {
  std::scoped_lock lock(mutex_);
  stop_error_ = std::move(error);
}
void FakePlatform::fail_list(std::optional<Error> error) {
  std::scoped_lock lock(mutex_);
  list_error_ = std::move(error);
}

}  // namespace mayfly
