#pragma once
// The Publisher over skopeo: one export into an OCI layout, and from there the same bytes to every registry.
// Credentials are skopeo's business: the standard files (REGISTRY_AUTH_FILE, containers/auth.json,
// ~/.docker/config.json) and the credential helpers that they name.
#include <mutex>
#include <optional>
#include <string>

#include "images/oci_layout.h"
#include "images/signing.h"
#include "ports/publisher.h"

namespace mayfly::images {

struct PublisherOptions {
  std::string folder;      // everything kept lies below: FOLDER/IMAGE/DIGEST/
  std::optional<Key> key;  // signs; none: nothing is signed
  // For one exchange with a registry; sending layers has a second for each MiB beside it. A registry that hangs is
  // given up after this.
  Duration patience = std::chrono::minutes(2);
};

class RegistryPublisher final : public Publisher {
 public:
  explicit RegistryPublisher(PublisherOptions options) : options_(std::move(options)) {}
  Result<PackedImage> pack(const PackOrder& order, Deadline deadline) override;
  Result<Contents> contents(const std::string& image, const std::string& digest) override;
  Result<void> publish(const PublishOrder& order, Deadline deadline) override;
  Result<void> forget(const std::string& image, const std::string& digest) override;

 private:
  std::string folder_of(const std::string& image, const std::string& digest) const;
  Result<PackedImage> known(const std::string& image, const std::string& digest) const;
  Result<void> make_ready(const PublishOrder& order, Deadline deadline);
  Result<void> attach(const PublishOrder& order, Deadline deadline);
  Result<void> attach_to(const PublishOrder& order, const Descriptor& image, const Contents& what, Deadline deadline);

  PublisherOptions options_;
  std::mutex packing_;  // one export at a time: it uses every core, and two of one image would write one folder
  std::mutex sealing_;
};

}  // namespace mayfly::images
