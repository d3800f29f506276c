#pragma once
// The layers that builds find made already: a containers-storage of its own that builders see read-only. Only what was
// released from a protected ref comes in here, and base images that this host's operator put into its own storage; so
// no proposed change can leave anything for a later build. Any thread.
#include <mutex>
#include <string>

#include "images/built_layout.h"
#include "model/image_build.h"
#include "ports/platform.h"

namespace mayfly {

class LayerStore {
 public:
  explicit LayerStore(std::string directory) : directory_(std::move(directory)) {}

  // The store's root, once it exists.
  std::string root() const { return directory_ + "/store"; }
  // Makes it, where it does not exist: an empty one.
  Result<void> ensure(Deadline deadline);
  // A base of this host's own storage ("localhost/…"), as it is there now. Others are fetched where the build runs.
  Result<void> add_base(const std::string& name, Deadline deadline);
  // The image `final` of a layout as "localhost/mayfly/NAME:latest", with its cached steps.
  Result<void> add_image(const std::string& layout, const std::string& name, BuildId build, Deadline deadline);
  // What add_image() brought for this build, but for what another one brought too and for what is the latest. No build
  // may be under way.
  Result<void> forget(BuildId build, const std::string& reference, Deadline deadline);

  // Which image a configuration's digest stands for: what was added, for builds of which every step was cached.
  struct Known {
    std::string digest, reference;
  };
  Result<void> remember(const std::string& image_id, const Known& known);
  Result<Known> recall(const std::string& image_id) const;

 private:
  // What each build brought: a file with a name in each line.
  std::string offers() const { return directory_ + "/offers"; }
  std::string name_in_store(const std::string& name) const;
  Result<void> put(const std::string& from, const std::string& name, Deadline deadline);
  Result<void> show_replaced();

  std::string directory_;
  std::mutex mutex_;  // one writer
};

// Of an image's manifest; empty: there is no such image.
Result<std::string> digest_of(const std::string& reference, Deadline deadline);

// skopeo's arguments up to and with the command.
std::vector<std::string> skopeo_command(const std::string& command);

}  // namespace mayfly
