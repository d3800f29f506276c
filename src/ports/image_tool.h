#pragma once
// Makes an image from a recipe. Blocking; from worker threads.
#include <string>

#include "base/result.h"
#include "model/pool.h"
#include "ports/platform.h"

namespace mayfly {

class ImageTool {
 public:
  virtual ~ImageTool() = default;
  // Builds the recipe unless this very content was built before, and returns a reference that the platform can
  // prepare().
  virtual Result<std::string> build(const ImageSpec& image, Deadline deadline) = 0;
};

}  // namespace mayfly
