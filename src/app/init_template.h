#pragma once
// What `mayfly init` writes: a commented configuration and a first recipe that build and run as they are.
#include <string>
#include <vector>

namespace mayfly {

struct InitFile {
  std::string path;  // relative to the folder that is initialised
  std::string content;
  bool executable = false;
};

std::vector<InitFile> init_files();

}  // namespace mayfly
