#pragma once
// What a `mayfly run` command line asks for.
#include <string>

#include "cli/call.h"
#include "model/job.h"

namespace mayfly {

struct RunRequest {
  JobSpec spec;
  std::string image;  // standalone when not empty
  StandaloneRequest standalone;
  std::string upload, download;  // directories here; empty: none
  bool detach = false, json = false;
};

// Reads also the files that it names (--env-file, --script).
Result<RunRequest> run_request(Call& call);

}  // namespace mayfly
