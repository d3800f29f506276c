// What no single key can tell: whether the values fit together.
#include <algorithm>
#include <array>
#include <filesystem>

#include <fmt/format.h>

#include "app/config_reader.h"
#include "app/config_table.h"
#include "app/config_value.h"
#include "base/text.h"
#include "ci/azure_devops/account.h"
#include "ci/github/settings.h"
#include "plan/cron.h"

namespace mayfly {
namespace {

// Transports that name a file or a folder; the others name something in a store or a registry.
constexpr std::array<std::string_view, 4> path_transports{"oci:", "oci-archive:", "docker-archive:", "dir:"};
constexpr std::array<std::string_view, 3> other_transports{"docker://", "containers-storage:", "docker-daemon:"};

class Checker {
 public:
  Checker(ConfigReading& reading, const std::string& folder)
      : reading_(reading), config_(reading.config), folder_(folder) {
    for (const auto& [name, image] : config_.images) images_.push_back(name);
    for (const auto& [name, secret] : config_.secrets) secrets_.push_back(name);
  }

  void run() {
    for (auto& [name, pool] : config_.pools) {
      path_ = "pools." + name;
      image(pool);
      secrets(pool);
      ci(pool);
      builders(pool);
      schedule(pool);
    }
    for (auto& [name, spec] : config_.images) {
      path_ = "images." + name;
      recipe(spec);
      docker(spec);
      commit_status(spec.commit_status);
    }
  }

 private:
  bool given(const std::string& key) const { return reading_.places.contains(path_ + "." + key); }
  bool wrong(const std::string& key) const { return reading_.wrong.contains(path_ + "." + key); }
  void problem(const std::string& key, std::string text) {
    reading_.problems.push_back({reading_.places.at(path_ + "." + key), std::move(text)});
  }

  void image(PoolSpec& pool) {
    if (pool.image.empty()) return;  // already said
    if (config_.images.contains(pool.image)) return;
    for (auto transport : path_transports)
      if (pool.image.starts_with(transport)) return relative(pool, transport);
    for (auto transport : other_transports) {
      if (!pool.image.starts_with(transport)) continue;
      if (pool.image.size() == transport.size()) problem("image", fmt::format("'{}' names no image", pool.image));
      return;
    }
    auto [name, follows] = split_image(pool.image);
    if (!follows.empty() && config_.images.contains(std::string(name))) {
      if (auto range = VersionRange::parse(follows); !range)
        problem("image",
                fmt::format("'{}' names no versions; write one such as {}@2.4.1, a range such as {}@^2 or {}@~2.4, or "
                            "{}@latest",
                            shown(pool.image.substr(name.size())), name, name, name, name));
      return;
    }
    if (auto colon = pool.image.find("://"); colon != std::string::npos)
      return problem("image",
                     fmt::format("'{}' is not a place that images come from; registries are docker://HOST/NAME:TAG",
                                 shown(pool.image.substr(0, colon + 3))));
    // One bare word is a name under images: in every case but by mistake; an image in the local storage has a host or a
    // tag.
    if (pool.image.find_first_of("/:@") == std::string::npos)
      problem("image", fmt::format("there is no '{}' under 'images:'{}", shown(pool.image),
                                   hint(pool.image, images_,
                                        "; for an image in this machine's storage write localhost/NAME or NAME:TAG")));
  }

  // A suggestion compares with every known name: for a file with thousands of wrong ones that would take minutes.
  std::string hint(const std::string& word, const std::vector<std::string>& known, std::string_view otherwise) {
    if (++hints_ > 20) return std::string(otherwise);
    auto found = suggestion(word, known);
    return found.empty() ? std::string(otherwise) : found;
  }

  // A daemon's own folder is no place that anybody would mean.
  void relative(PoolSpec& pool, std::string_view transport) {
    auto rest = pool.image.substr(transport.size());
    if (rest.empty() || rest[0] == ':') return problem("image", fmt::format("'{}' names no file", shown(pool.image)));
    if (rest[0] == '~') return problem("image", "'~' would not be expanded; write the whole path");
    // The path ends at a colon; a tag may follow.
    auto colon = rest.find(':');
    auto path = (std::filesystem::path(folder_) / rest.substr(0, colon)).lexically_normal().string();
    pool.image = std::string(transport) + path + (colon == std::string::npos ? "" : rest.substr(colon));
  }

  // In a repository named here the recipe is a folder of that, whatever folder this file is in.
  void recipe(ImageSpec& image) {
    if (!image.repository.empty()) {
      image.recipe = std::filesystem::path(image.recipe).lexically_relative(folder_).generic_string();
      if (image.recipe == ".") image.recipe.clear();
      if (image.recipe.starts_with("..")) problem("recipe", "it is outside the repository; name a folder in it");
      bool address = image.repository.find(':') != std::string::npos;
      if (!address)
        image.repository = (std::filesystem::path(folder_) / image.repository).lexically_normal().generic_string();
    }
    for (const auto& name : image.secrets)
      if (!config_.secrets.contains(name))
        problem("secrets." + name,
                fmt::format("there is no '{}' under 'secrets:'{}", name, hint(name, secrets_, "; add it there")));
    if (!image.rebuild.empty())
      if (auto cron = plan::Cron::parse(image.rebuild, "UTC"); !cron) problem("rebuild", cron.error().what);
    auto builder = config_.pools.find(image.builder);
    if (!image.builder.empty() && builder == config_.pools.end()) {
      no_pool("builder", image.builder);
    } else if (!image.builder.empty()) {
      for (const auto& name : image.secrets)
        if (std::find(builder->second.secrets.begin(), builder->second.secrets.end(), name) ==
            builder->second.secrets.end())
          problem("secrets." + name, fmt::format("pool '{}', which builds it, may not read '{}'; add it to that pool's "
                                                 "secrets",
                                                 image.builder, name));
    }
  }

  void no_pool(const std::string& key, const PoolName& name) {
    problem(key, fmt::format("there is no pool '{}'{}", name, hint(name, keys_of(config_.pools), "")));
  }

  void docker(const ImageSpec& image) {
    const auto& d = image.docker;
    if (d.url.empty() || wrong("docker.url")) return;
    if (!image.builder.empty())
      problem("docker",
              fmt::format("it cannot be built by a Docker Engine and by pool '{}'; remove one", image.builder));
    if (image.platforms.size() > 1)
      problem("platforms", "a Docker Engine builds for one platform; name one, or build it here");
    if (!image.secrets.empty())
      problem("secrets", "a Docker Engine's own builder takes no build secrets; build it here, or without them");
    auto host = std::string_view(d.url).substr(d.url.find("://") + 3);
    bool loopback = host.starts_with("127.") || host.starts_with("localhost:") || host.starts_with("[::1]");
    if (d.url.starts_with("tcp://") && d.certificates.empty() && !loopback)
      problem("docker",
              "over the network a Docker Engine needs TLS, for whoever reaches it is root there; give `certificates:`");
  }

  void commit_status(const CommitStatusSpec& status) {
    if (status.pool.empty() || wrong("commit_status.pool") || wrong("commit_status.repository")) return;
    auto pool = config_.pools.find(status.pool);
    if (pool == config_.pools.end()) return no_pool("commit_status.pool", status.pool);
    if (pool->second.ci != "github" && pool->second.ci != "azure-devops")
      return problem(
          "commit_status.pool",
          fmt::format("the ci of pool '{}' is {}, which has no commits; name a pool of github or azure-devops",
                      status.pool, pool->second.ci));
    auto slash = status.repository.find('/');
    if (slash == std::string::npos || pool->second.ci != "github") return;
    if (!github::is_owner_name(status.repository.substr(0, slash)) ||
        !github::is_repository_name(status.repository.substr(slash + 1)))
      problem("commit_status.repository",
              fmt::format("'{}' cannot be a repository of GitHub's", shown(status.repository)));
  }

  void secrets(const PoolSpec& pool) {
    for (const auto& name : pool.secrets)
      if (!config_.secrets.contains(name))
        problem("secrets." + name,
                fmt::format("there is no '{}' under 'secrets:'{}", name, hint(name, secrets_, "; add it there")));
  }

  // What a CI's connector may read are names of secrets like those of jobs.
  void ci(const PoolSpec& pool) {
    for (const auto& key : config_keys()) {
      if (config_section(key.in).path != "pools.NAME.ci." + pool.ci) continue;  // several have a `token`
      auto value = pool.ci_settings.find(std::string(key.name));
      auto place = fmt::format("ci.{}.{}", pool.ci, key.name);
      if (!key.names_secret || value == pool.ci_settings.end() || !given(place) || wrong(place)) continue;
      if (!config_.secrets.contains(value->second))
        problem(place, fmt::format("there is no '{}' under 'secrets:'{}", shown(value->second),
                                   hint(value->second, secrets_, "; add it there")));
      // It would be in every builder of the pool for the asking.
      if (std::find(pool.secrets.begin(), pool.secrets.end(), value->second) != pool.secrets.end())
        problem(place, fmt::format("'{}' is among the pool's own 'secrets', which each of its jobs may read",
                                   shown(value->second)));
    }
    if (pool.ci == "azure-devops") azure_devops(pool);
    if (pool.ci == "github") github(pool);
  }

  // What the connector itself says of its settings, at the key that it blames.
  void azure_devops(const PoolSpec& pool) {
    if (!reading_.problems.empty()) return;  // what is missing or misspelt was said already
    auto account = azure_devops::account_from(pool.ci_settings, pool.name);
    if (account) return;
    const auto& e = account.error();
    auto place = "ci.azure-devops." + e.where;
    problem(given(place) ? place : "ci.azure-devops", e.what + (e.next.empty() ? "" : ". " + e.next));
  }

  void github(const PoolSpec& pool) {
    if (!reading_.problems.empty()) return;  // what is missing or misspelt was said already
    auto settings = github::settings_from(pool.ci_settings);
    if (settings) return;
    const auto& e = settings.error();
    auto place = "ci.github." + e.where;
    problem(given(place) ? place : "ci.github", e.what + (e.next.empty() ? "" : ". " + e.next));
  }

  void builders(PoolSpec& pool) {
    auto& limits = pool.limits;
    if (pool.warm > pool.max && !wrong("builders.max"))
      problem("builders.warm", fmt::format("'warm' is {}, more than 'max', which is {}", pool.warm, pool.max));
    if (!given("builders.disk"))
      limits.disk = limits.memory / 2;
    else if (limits.disk > limits.memory && !wrong("builders.memory"))
      problem("builders.disk",
              fmt::format("'disk' is {}, more than 'memory', which is {}; the workspace lives in memory",
                          format_bytes(limits.disk), format_bytes(limits.memory)));
  }

  void schedule(const PoolSpec& pool) {
    if (pool.min > pool.max && !wrong("builders.max"))
      problem("builders.min", fmt::format("'min' is {}, more than 'max', which is {}", pool.min, pool.max));
    for (std::size_t i = 0; i < pool.schedule.size(); ++i) {
      const auto& e = pool.schedule[i];
      auto place = fmt::format("schedule.{}", i);
      if (e.cron.empty()) continue;  // already said
      auto cron = plan::Cron::parse(e.cron, e.timezone);
      if (!cron) {
        bool zone = cron.error().where == "timezone";
        problem(place + (zone && given(place + ".timezone") ? ".timezone" : ".cron"), cron.error().what);
      }
      if (!e.warm && !e.min && !e.max && !e.refresh)
        problem(place, "it changes nothing; give it warm, min, max or refresh");
      int max = e.max.value_or(pool.max);
      if (e.warm && *e.warm > max)
        problem(place + ".warm", fmt::format("'warm' is {}, more than 'max', which is {}", *e.warm, max));
      if (e.min && *e.min > max)
        problem(place + ".min", fmt::format("'min' is {}, more than 'max', which is {}", *e.min, max));
    }
  }

  ConfigReading& reading_;
  Config& config_;
  const std::string& folder_;
  int hints_ = 0;
  std::string path_;  // of the pool
  std::vector<std::string> images_, secrets_;
};

}  // namespace

void check_config(ConfigReading& reading, const std::string& folder) { Checker(reading, folder).run(); }

}  // namespace mayfly
