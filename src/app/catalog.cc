#include "app/catalog.h"

#include <stdlib.h>

#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

#include "agent/embedded.h"
#include "ci/azure_devops/azure_devops.h"
#include "ci/github/connector.h"
#include "images/buildah_tool.h"
#include "images/registry_publisher.h"
#include "images/report_webhook.h"
#include "images/verify.h"
#include "images/workshop.h"
#include "os/file.h"
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

Result<std::unique_ptr<Publisher>> make_publisher(const Config& config, const StatePaths& paths) {
  images::PublisherOptions options;
  options.folder = paths.releases();
  options.patience = config.release.patience;
  if (!config.release.key.empty()) {
    MAYFLY_ASSIGN(options.key, images::Key::load_private(config.release.key));
  }
  return std::make_unique<images::RegistryPublisher>(std::move(options));
}

Result<ImageProof> verify_published(const std::string& reference, const std::string& key_file) {
  MAYFLY_ASSIGN(auto key, images::Key::load_public(key_file));
  std::string folder = std::filesystem::temp_directory_path() / "mayfly-verify-XXXXXX";
  if (!::mkdtemp(folder.data())) return Unexpected(errno_error("cannot make a temporary folder", errno, folder));
  auto verified = images::verify_image(reference, key, folder, after(std::chrono::minutes(5)));
  (void)os::remove_tree(folder);
  if (!verified) return Unexpected(std::move(verified).error());
  ImageProof proof{verified->repository, verified->digest, {}};
  for (const auto& a : verified->attestations) proof.attestations.emplace_back(a.predicate_type, a.statement);
  return proof;
}

std::function<Result<std::shared_ptr<Ci>>(const PoolSpec&)> ci_maker(SecretStore& secrets, const Clock& clock,
                                                                     const Log& log) {
  auto github = std::make_shared<github::Connectors>(secrets, clock);
  return [github, &secrets, &log](const PoolSpec& pool) -> Result<std::shared_ptr<Ci>> {
    auto where = fmt::format("pools.{}.ci.{}", pool.name, pool.ci);
    if (pool.ci == "builtin" || pool.ci == "buildbot") return nullptr;  // they send their jobs to the API
    if (pool.ci == "azure-devops") {
      auto account = azure_devops::account_from(pool.ci_settings, pool.name);
      if (!account) return fail(ErrorCode::invalid, account.error().what, where);
      return std::make_shared<azure_devops::AzureDevOps>(std::move(*account), secrets, log);
    }
    if (pool.ci == "github") {
      auto made = github->make(pool.ci_settings);
      if (!made) return fail(ErrorCode::invalid, made.error().what, where);
      return std::shared_ptr<Ci>(std::move(*made));
    }
    return fail(ErrorCode::unsupported, fmt::format("this version of Mayfly has no connector for ci '{}'", pool.ci),
                where);
  };
}

std::unique_ptr<Reporter> make_reporter(SecretStore& secrets) {
  return std::make_unique<images::ReportWebhook>(secrets);
}

std::unique_ptr<ImageWorks> make_image_works(const StatePaths& paths) {
  return std::make_unique<Workshop>(paths.images());
}

std::unique_ptr<ImageTool> make_image_tool() { return std::make_unique<BuildahTool>(); }

}  // namespace mayfly
