#pragma once
// .dockerignore: which files of a context are left out. Pure.
#include <regex>
#include <string>
#include <string_view>
#include <vector>

namespace mayfly::images {

class Ignore {
 public:
  // Lines of patterns as Docker's reference of .dockerignore has them: * ? ** and a leading ! to take files back. The
  // last that fits decides. Patterns beyond a thousand are not looked at.
  explicit Ignore(std::string_view text);
  bool leaves_out(std::string_view path) const;  // "src/main.c": the path, or a folder above it, fits

 private:
  struct Rule {
    std::regex pattern;
    bool back = false;
  };
  std::vector<Rule> rules_;
};

}  // namespace mayfly::images
