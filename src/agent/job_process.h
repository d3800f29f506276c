#pragma once
// Starting the job's main process.
#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <tl/expected.hpp>

#include "agent/user.h"
#include "base/fd.h"
#include "base/result.h"
#include "model/job.h"

namespace mayfly::agent {

struct Command {
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;  // complete
  User user;
  std::string directory;
};

struct Spawned {
  pid_t pid = -1;
  Fd out, err;  // the reading ends
};

struct SpawnFailure {
  JobCause cause = JobCause::start_failed;
  std::string message;
};

// On return the program runs (its exec succeeded), in a session of its own.
tl::expected<Spawned, SpawnFailure> spawn(const Command& command);

// A process that has become the command's program and is held at its first act (tracee.h). Destroyed before go(), it is
// gone. Not on every host: the process is held by being traced.
class Standby {
 public:
  static std::optional<Standby> make(const Command& command);
  Standby(Standby&&) noexcept;
  ~Standby();
  pid_t pid() const;
  // What waitpid() said of it. False: it is gone, and this with it.
  bool changed(int status);
  // Once. Nothing: it was killed meanwhile.
  std::optional<Spawned> go();

 private:
  struct Parts;
  friend tl::expected<Spawned, SpawnFailure> spawn(const Command& command);
  explicit Standby(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// The job's environment, complete: what `assign` gives, its secrets, and what every job may rely on.
std::map<std::string, std::string> job_environment(std::map<std::string, std::string> env,
                                                   const std::map<std::string, std::string>& secrets, const User& user);

// Writes a script where the job's user can run it and returns the command for it: itself if it begins with #!, else by
// /bin/sh -e. The file goes with remove_script().
Result<std::vector<std::string>> write_script(const std::string& text, JobId job);
void remove_script(JobId job);

}  // namespace mayfly::agent
