#pragma once
// --upload and --download: a tar stream between a directory here and the daemon, without a copy of it on the way.
#include <string>

#include "cli/connection.h"
#include "cli/tar.h"

namespace mayfly {

inline constexpr std::int64_t upload_limit = 4LL << 30;  // the daemon's too

// Gives the upload's id, for JobSpec::input. `wake_fd` readable stops it.
Result<std::string> upload_directory(Api& api, const std::string& directory, int wake_fd);
Result<Unpacked> download_output(Api& api, std::uint64_t job, const std::string& directory, int wake_fd);

}  // namespace mayfly
