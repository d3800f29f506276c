#pragma once
// Recipes in git become images: with git, buildah and skopeo.
#include "images/git.h"
#include "images/layer_store.h"
#include "ports/image_works.h"

namespace mayfly {

class Workshop final : public ImageWorks {
 public:
  explicit Workshop(const std::string& directory);

  Result<RecipeAt> resolve(const ImageSpec& image, const std::string& ref, Deadline deadline) override;
  Result<std::vector<RefAt>> refs(const ImageSpec& image, Deadline deadline) override;
  Result<void> pack(const ImageSpec& image, const std::string& commit, const std::string& tar,
                    Deadline deadline) override;
  Result<BuiltImage> build(const BuildOrder& order, Deadline deadline) override;
  Result<BuildJob> prepare_job(const BuildOrder& order, Deadline deadline) override;
  Result<BuiltImage> take_in(const BuildOrder& order, const std::string& output_tar, Deadline deadline) override;
  Error failure(const BuildOrder& order, const std::string& log) override;
  Result<Examination> examine(const BuildOrder& order, std::int64_t bytes_before, Deadline deadline) override;
  Result<void> offer(const BuildOrder& order, const BuiltImage& image, Deadline deadline) override;
  std::string layers() const override;

 private:
  Result<void> make_bases_ready(const BuildOrder& order, Deadline deadline);
  Result<BuiltImage> collect(const BuildOrder& order, Deadline deadline);

  Git git_;
  LayerStore layers_;
};

}  // namespace mayfly
