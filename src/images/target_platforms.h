#pragma once
// The platforms ("linux/arm64") that one image is built for: what this host can run of them, and the index that holds
// them together. Any thread.
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "images/oci_layout.h"
#include "ports/image_works.h"

namespace mayfly::images {

// This machine's own, "linux/amd64".
std::string host_platform();

// Whether the image becomes an index: it names platforms, and not just this machine's.
bool is_for_several(const ImageSpec& image);

// Under which a platform's image lies in the build's layout: "final-linux-arm64".
std::string platform_name(const std::string& platform);

// The machines whose programs the kernel hands to an emulator, also in containers: architectures as in a platform. From
// the text of the files in /proc/sys/fs/binfmt_misc (kernel documentation, admin-guide/binfmt-misc).
std::set<std::string> emulated(const std::vector<std::string>& entries);
std::set<std::string> emulated_here();

// `unsupported`, with what to install, where the recipe runs programs of a platform that this host cannot run;
// `invalid` where this host's own platform is not among them, since nothing could be tried then.
Result<void> check_platforms(const ImageSpec& image, const RecipeAt& recipe, const std::string& host,
                             const std::set<std::string>& emulated);

// Puts the platforms' images under one index with the name `final`; its digest depends on nothing else. invalid: one of
// them is for another platform than it should be.
Result<Descriptor> make_index(const OciLayout& layout, const std::vector<std::string>& platforms);

}  // namespace mayfly::images
