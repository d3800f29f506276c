#pragma once
// A recipe: a folder with a Dockerfile, its context, and the arguments it is built with. Blocking file reads; any
// thread.
#include <string>

#include "base/result.h"
#include "model/pool.h"

namespace mayfly {

struct Recipe {
  std::string folder;
  std::string dockerfile;  // its path
  std::string content;     // hex SHA-256 over every file's path, mode and bytes, and the arguments: the same content is
                           // the same image
};

// not_found: no such folder, or neither Dockerfile nor Containerfile in it.
Result<Recipe> read_recipe(const ImageSpec& image);

}  // namespace mayfly
