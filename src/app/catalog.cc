#include "app/catalog.h"

#include <cstdlib>

#include "agent/embedded.h"
#include "images/buildah_tool.h"
#include "platforms/local/local.h"

namespace mayfly {

std::string runtime_wanted() {
  const char* wanted = std::getenv("MAYFLY_RUNTIME");
  return wanted && *wanted ? wanted : "auto";
}

Result<std::vector<std::unique_ptr<Platform>>> make_platforms(const Config& config, const StatePaths& paths,
                                                              StateLife life, const Log& log) {
  std::vector<std::unique_ptr<Platform>> all;
  local::LocalOptions options;
  options.directory = paths.platform("local");
  options.agent_program = agent::embedded_agent();
  options.runtime = runtime_wanted();
  for (const auto& [name, pool] : config.pools) options.networks.insert(pool.network);
  if (life == StateLife::passing) options.remove_when_gone = paths.root;
  MAYFLY_ASSIGN(auto platform, local::LocalPlatform::create(std::move(options), log));
  all.push_back(std::move(platform));
  return all;
}

std::unique_ptr<ImageTool> make_image_tool() { return std::make_unique<BuildahTool>(); }

}  // namespace mayfly
