#pragma once
// A Dockerfile as text: what it is built FROM, and mistakes that no builder need be started for. Pure.
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace mayfly {

struct Containerfile {
  std::vector<std::string> bases;  // of its FROM lines, arguments filled in; stages and `scratch` left out
  struct From {
    int line = 0;
    std::string written, base;  // as it stands there; arguments filled in
  };
  std::vector<From> froms;
  int runs = 0;  // the line of the first RUN for the image's own platform; 0: there is none
};

// `where` is its path, for messages. An instruction that does not exist, or anything but ARG before FROM: invalid, with
// line and excerpt. What only a build can tell is left to it.
Result<Containerfile> read_containerfile(std::string_view text, const std::string& where,
                                         const std::map<std::string, std::string>& args);

// Lines of the file, by number, as they must be for these bases to be the ones with these digests. A FROM that goes on
// over several lines stays as it is.
std::map<int, std::string> pinned_lines(std::string_view text, const std::map<std::string, std::string>& args,
                                        const std::map<std::string, std::string>& digests);

// The line of a file, with its neighbours, as compilers show it. Lines count from 1.
std::string excerpt(std::string_view text, int line);

}  // namespace mayfly
