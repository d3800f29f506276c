#pragma once
// Images in registries that others are built FROM: which are watched, and whether an image is to be built anew since
// one of them is another now. Pure.
#include <map>
#include <string>
#include <vector>

#include "model/image_build.h"

namespace mayfly::plan {

// Of what FROM lines name, what a registry may change: not a name with a digest, not the host's own storage
// ("localhost/…", so none that Mayfly's own following sees to), no other transport than a registry's.
std::vector<std::string> registry_bases(const std::vector<std::string>& bases);

// Whether the name says in which registry it is. "debian:12" does not: hosts may be set up to look for it elsewhere
// than in Docker Hub.
bool names_registry(const std::string& base);
// "registry.example:5000" of "registry.example:5000/team/base:1"; docker.io where the name does not say.
std::string registry_of(const std::string& base);

// The bases of the newest build for a release, with their digests; empty: there is none that knows.
std::map<std::string, std::string> tried_bases(const std::vector<ImageBuild>& newest_first);

struct BaseJudgement {
  bool build = false;
  std::string why;  // the reason for the build; or why there is none though a base is another now; else empty
};
// `seen`: what registries say now of those bases; a base whose registry does not answer is left out, and never a
// reason. The same digests are tried once, whatever became of it, and none while a build for a release is under way.
BaseJudgement judge_bases(const std::vector<ImageBuild>& newest_first, const std::map<std::string, std::string>& seen);

}  // namespace mayfly::plan
