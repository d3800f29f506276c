#pragma once
// Where builders live. One implementation per folder below platforms/; one contract suite (tests/contract) holds for
// all.
//
// Calls block, each with a deadline, and come from worker threads: an implementation must be safe for several calls at
// once on different builders; calls on one builder never overlap.
#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/builder.h"
#include "model/pool.h"

namespace mayfly {

using Deadline = std::chrono::steady_clock::time_point;
inline Deadline after(Duration d) { return std::chrono::steady_clock::now() + d; }

// An image made ready on the platform, named by digest. What a job needs of its configuration comes along.
struct PlatformImage {
  std::string reference;                   // as asked for
  std::string digest;                      // sha256:…, of the manifest
  std::map<std::string, std::string> env;  // of the image
  std::string user;                        // "", "name", "uid", "uid:gid": as in the image's configuration
  std::string handle;                      // the platform's own, opaque to everybody else
};

struct BuilderRequest {
  BuilderId id;
  PoolName pool;
  PlatformImage image;
  Limits limits;
  Network network = Network::none;
  // A directory of this host that the builder sees read-only at layers_in_builder; empty: none.
  std::string layers = {};
};

// Where builders that build images find the layers of released ones.
inline constexpr const char* layers_in_builder = "/var/lib/mayfly/layers";

struct SeenBuilder {
  BuilderId id;
  bool alive = false;  // false: only remains (a directory, a cgroup, …) that stop() would remove
};

struct PlatformHealth {
  bool accepts_builders = true;
  bool disk_full = false;
  std::string problem;  // one sentence, when it does not
};

class Platform {
 public:
  virtual ~Platform() = default;
  virtual std::string_view name() const = 0;
  virtual int parallel_launches() const = 0;  // more at once only make all slower

  // Cheap (below a millisecond); asked before each round of launches.
  virtual PlatformHealth health() = 0;

  // Resolves a reference to a digest and makes the image ready to start from. not_found: it does not exist, for good.
  virtual Result<PlatformImage> prepare(const std::string& reference, Deadline deadline) = 0;

  // Starts a builder; on return its agent is listening at agent_address(). Idempotent by id. On an error nothing of it
  // remains, or stop() will remove it.
  virtual Result<void> launch(const BuilderRequest& request, Deadline deadline) = 0;

  // Path of the unix socket at which the builder's agent listens (model/agent_message.h). Known from the id alone, so
  // that a restarted daemon finds it again.
  virtual std::string agent_address(const BuilderId& id) const = 0;

  // Ends the builder, whatever state it is in, and removes all of it; true even if it never existed. On return no
  // process, mount, cgroup, network namespace or directory of it remains.
  virtual Result<void> stop(const BuilderId& id, Deadline deadline) = 0;

  // Every builder of this state directory of which anything exists.
  virtual Result<std::vector<SeenBuilder>> list(Deadline deadline) = 0;
};

}  // namespace mayfly
