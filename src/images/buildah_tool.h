#pragma once
// Builds recipes with buildah into the host's containers-storage: no daemon, no privilege inside the build.
#include "ports/image_tool.h"

namespace mayfly {

class BuildahTool final : public ImageTool {
 public:
  Result<std::string> build(const ImageSpec& image, Deadline deadline) override;
};

// What to tell people of a failed build: the Dockerfile's place and line where buildah names it, and its last words.
// `dockerfile` is its path, `text` what is in it.
Error build_error(const std::string& image, const std::string& dockerfile, const std::string& text,
                  const std::string& output);

}  // namespace mayfly
