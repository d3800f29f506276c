#pragma once
// What can be seen in an image without running it. Blocking file reads; any thread.
#include <map>
#include <string>

#include "images/built_layout.h"
#include "ports/image_works.h"

namespace mayfly {

// `secrets`: values that no layer may hold, by name. `bytes_before`: of the version before; 0: there is none.
Result<Examination> examine_image(const BuiltLayout::Image& image, const ImageSpec& spec,
                                  const std::map<std::string, std::string>& secrets, std::int64_t bytes_before);

}  // namespace mayfly
