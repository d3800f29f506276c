#pragma once
// The API as a whole: a server on the state directory's socket, and on TCP when configured.
#include <memory>
#include <string>

#include "api/backend.h"
#include "base/log.h"
#include "model/pool.h"
#include "model/state_paths.h"
#include "net/server.h"

namespace mayfly::api {

struct ServiceOptions {
  StatePaths paths;
  ServerSpec server;  // of the configuration
  std::string version;
  net::ServerOptions limits;  // its addresses are filled in from the above
};

// Serves until destroyed. `backend` and `log` outlive it; callbacks that come later are dropped.
Result<std::unique_ptr<net::Server>> serve(ServiceOptions options, Backend& backend, const Log& log);

}  // namespace mayfly::api
