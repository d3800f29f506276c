#pragma once
// What is run to build a recipe: the same commands on this host and in a builder. Pure.
#include <string>

#include "ports/image_works.h"

namespace mayfly {

struct BuildScript {
  std::string storage;  // an empty directory for what the build keeps: its layers, its containers
  std::string layers;   // a read-only store with layers to build on; empty: none
  std::string output;   // becomes an OCI layout with `final` and the cached steps, or the file `known`
};

// For /bin/sh in the recipe's folder. Secrets are expected as variables (secret_variable()).
std::string build_script(const BuildOrder& order, const BuildScript& places);

// For a job in a builder of an image with buildah, mount, unshare and newuidmap: the same, in a user namespace inside
// the builder's own, in which mounting is allowed. Needs no capability but SETUID, SETGID, SETFCAP and SYS_CHROOT.
std::string builder_script(const BuildOrder& order);

inline constexpr const char* builder_output = "/workspace/.mayfly-output";

}  // namespace mayfly
