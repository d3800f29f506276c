#pragma once
// The platform `local`: builders as containers on this host, by crun or runc, from images in containers-storage.
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "base/log.h"
#include "platforms/local/container_config.h"
#include "platforms/local/launcher_client.h"
#include "platforms/local/local_images.h"
#include "platforms/local/remains.h"
#include "ports/platform.h"

namespace mayfly::local {

struct LocalOptions {
  std::string directory;                  // StatePaths::platform("local"); made if missing
  std::string agent_program;              // the bytes of the static agent
  std::string runtime = "auto";           // auto, crun or runc
  std::set<Network> networks;             // of the pools: builders for them are begun before anybody asks
  std::string remove_when_gone;           // should this process be killed, its builders and this directory go; or empty
  std::int64_t min_free_disk = 64 << 20;  // below this much free space, no new builders
};

class LocalPlatform final : public Platform {
 public:
  static Result<std::unique_ptr<LocalPlatform>> create(LocalOptions options, const Log& log);
  ~LocalPlatform() override = default;

  std::string_view name() const override { return "local"; }
  int parallel_launches() const override { return 4; }  // network namespaces saturate; more only make all slower
  PlatformHealth health() override;
  Result<PlatformImage> prepare(const std::string& reference, Deadline deadline) override;
  Result<void> launch(const BuilderRequest& request, Deadline deadline) override;
  std::string agent_address(const BuilderId& id) const override;
  Result<void> stop(const BuilderId& id, Deadline deadline) override;
  Result<std::vector<SeenBuilder>> list(Deadline deadline) override;

  // One sentence about what is not enforced here; empty when everything is.
  const std::string& limits_problem() const { return limits_problem_; }
  const LauncherSetup& setup() const { return setup_; }

 private:
  LocalPlatform(LocalOptions options, const Log& log) : options_(std::move(options)), log_(log) {}
  Result<void> set_up();
  Result<void> set_up_rootless();
  Result<std::shared_ptr<LauncherClient>> launcher();
  Result<void> launch_anew(const BuilderRequest& request, Deadline deadline);
  LaunchOrder order_for(const BuilderRequest& request, std::vector<std::string> layers) const;

  LocalOptions options_;
  const Log& log_;
  LauncherSetup setup_;
  BuilderPlace place_;
  ContainerShape shape_;
  std::string limits_problem_;
  LocalImages images_{log_};
  std::vector<std::string> adopted_;  // builders that were there before this
  std::mutex mutex_;
  std::shared_ptr<LauncherClient> launcher_;
};

}  // namespace mayfly::local
