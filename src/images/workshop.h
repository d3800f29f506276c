#pragma once
// Recipes in git become images: with git, buildah and skopeo.
#include <map>
#include <memory>
#include <mutex>
#include <set>

#include "images/git.h"
#include "images/layer_store.h"
#include "os/stop_signal.h"
#include "ports/image_works.h"

namespace mayfly {

class Workshop final : public ImageWorks {
 public:
  explicit Workshop(const std::string& directory);

  Result<RecipeAt> resolve(const ImageSpec& image, const std::string& ref, Deadline deadline) override;
  Result<std::vector<RefAt>> refs(const ImageSpec& image, Deadline deadline) override;
  Result<std::string> messages(const ImageSpec& image, const std::string& since, const std::string& until,
                               Deadline deadline) override;
  Result<void> pack(const ImageSpec& image, const std::string& commit, const std::string& tar,
                    Deadline deadline) override;
  Result<std::string> base_digest(const std::string& base, Deadline deadline) override;
  Result<BuiltImage> build(const BuildOrder& order, Deadline deadline) override;
  void stop(BuildId id) override;
  void stop_all() override;
  Result<BuildJob> prepare_job(const BuildOrder& order, Deadline deadline) override;
  Result<BuiltImage> take_in(const BuildOrder& order, const std::string& output_tar, Deadline deadline) override;
  Error failure(const BuildOrder& order, const std::string& log) override;
  Result<Examination> examine(const BuildOrder& order, std::int64_t bytes_before, Deadline deadline) override;
  Result<void> offer(const BuildOrder& order, const BuiltImage& image, Deadline deadline) override;
  Result<void> discard(const DiscardOrder& order, Deadline deadline) override;
  std::string layers() const override;

 private:
  Result<BuiltImage> build_here(const BuildOrder& order, const os::StopSignal& stop, Deadline deadline);
  Result<BuiltImage> build_by_engine(const BuildOrder& order, const os::StopSignal& stop, Deadline deadline);
  Result<std::string> unpack_context(const BuildOrder& order, Deadline deadline);
  Result<void> make_bases_ready(const BuildOrder& order, Deadline deadline);
  Result<BuiltImage> collect(const BuildOrder& order, Deadline deadline);

  Git git_;
  LayerStore layers_;
  std::mutex mutex_;
  std::map<BuildId, std::shared_ptr<os::StopSignal>> running_;
  std::set<BuildId> stopped_;  // before they began
  bool ended_ = false;
};

}  // namespace mayfly
