#pragma once
// The public API on its sockets: routes, authorization, uploads.
#include <memory>
#include <string>

#include "api/backend.h"
#include "base/log.h"
#include "model/pool.h"
#include "model/state_paths.h"

namespace mayfly::api {

class ApiServer {
 public:
  // `backend` and `log` outlive it.
  static Result<std::unique_ptr<ApiServer>> start(Backend& backend, const ServerSpec& spec, const StatePaths& paths,
                                                  std::string version, const Log& log);
  ~ApiServer();
  int tcp_port() const;  // 0: none

 private:
  struct Parts;
  explicit ApiServer(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace mayfly::api
