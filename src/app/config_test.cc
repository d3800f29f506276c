#include "app/config.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <boost/json.hpp>

#include "app/config_reader.h"
#include "app/config_table.h"
#include "app/config_value.h"
#include "app/init_template.h"

namespace mayfly {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
namespace fs = std::filesystem;

Config parsed(std::string_view text) {
  auto config = parse_config(text, "/etc/mayfly/mayfly.yaml");
  EXPECT_TRUE(config) << config.error().text();
  return config.value_or(Config{});
}

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

class ConfigFolder : public testing::Test {
 protected:
  ConfigFolder() {
    char name[] = "/tmp/mfcfgXXXXXX";
    folder_ = mkdtemp(name);
  }
  ~ConfigFolder() override { fs::remove_all(folder_); }
  std::string write(const std::string& name, std::string_view text) {
    auto path = folder_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  fs::path folder_;
};

TEST(Config, ReadsAnAgentPoolOfAzureDevOps) {
  Config c = parsed(R"(
secrets: {s: {env: S}}
pools:
  general:
    image: x:1
    ci:
      azure-devops:
        organization: acme
        pool: linux
        tenant_id: t-1
        client_id: c-1
        client_secret: s
        agent_version: "4.255.0"
        demands: exact
        capabilities: {docker: "yes", os.name: Debian}
)");
  const auto& pool = c.pools.at("general");
  EXPECT_EQ(pool.ci, "azure-devops");
  EXPECT_EQ(pool.ci_settings, (std::map<std::string, std::string>{{"organization", "acme"},
                                                                  {"pool", "linux"},
                                                                  {"tenant_id", "t-1"},
                                                                  {"client_id", "c-1"},
                                                                  {"client_secret", "s"},
                                                                  {"agent_version", "4.255.0"},
                                                                  {"demands", "exact"},
                                                                  {"capabilities.docker", "yes"},
                                                                  {"capabilities.os.name", "Debian"}}));
}

TEST(Config, ReadsWhereJobsComeFrom) {
  Config c = parsed(R"(
secrets: {key: {env: KEY}, hook: {env: HOOK}}
pools:
  general:
    image: x:1
    ci:
      github:
        url: https://git.acme.example/team
        app_id: 12345
        private_key: key
        installation_id: 99
        webhook_secret: hook
        labels: [gpu, two words]
        repositories: [site, team/tools]
        runner_group: Builders
)");
  const auto& pool = c.pools.at("general");
  EXPECT_EQ(pool.ci, "github");
  EXPECT_EQ(pool.ci_settings, (std::map<std::string, std::string>{{"url", "https://git.acme.example/team"},
                                                                  {"app_id", "12345"},
                                                                  {"private_key", "key"},
                                                                  {"installation_id", "99"},
                                                                  {"webhook_secret", "hook"},
                                                                  {"labels", "gpu,two words"},
                                                                  {"repositories", "site,team/tools"},
                                                                  {"runner_group", "Builders"}}));
}

TEST(Config, ReadsEveryKey) {
  Config c = parsed(R"(
images:
  general:
    recipe: images/general
    args: {BASE: 'docker.io/library/debian:12', LEVEL: 3, EMPTY: ''}
pools:
  general:
    image: general
    ci: {builtin: {}}
    platform: local
    network: none
    secrets: [npm-token, key]
    builders: {warm: 2, max: 100, cpu: 1.5, memory: 8GiB, disk: 1GiB, pids: 512, timeout: 1h30m, grace: 250ms, log: 10MB}
secrets:
  npm-token: {env: NPM_TOKEN}
  key: {file: /run/key}
server:
  listen: '[::1]:8443'
  tls: {certificate: tls/cert.pem, key: ../key.pem}
  tokens: ./tokens
keep_jobs: 7d
)");
  PoolSpec pool;
  pool.name = pool.image = "general";
  pool.warm = 2;
  pool.max = 100;
  pool.network = Network::none;
  pool.secrets = {"npm-token", "key"};
  pool.limits = {.cpu = 1.5,
                 .memory = 8LL << 30,
                 .disk = 1LL << 30,
                 .pids = 512,
                 .timeout = std::chrono::minutes(90),
                 .grace = std::chrono::milliseconds(250),
                 .log = 10'000'000};
  Config expected;
  expected.pools["general"] = pool;
  expected.images["general"] = {"general",
                                "/etc/mayfly/images/general",
                                {{"BASE", "docker.io/library/debian:12"}, {"LEVEL", "3"}, {"EMPTY", ""}}};
  expected.secrets["npm-token"] = {"npm-token", "NPM_TOKEN", ""};
  expected.secrets["key"] = {"key", "", "/run/key"};
  expected.server = {"[::1]:8443", "/etc/mayfly/tls/cert.pem", "/etc/key.pem", "/etc/mayfly/tokens"};
  expected.keep_jobs = std::chrono::hours(24 * 7);
  EXPECT_EQ(c, expected);
}

// The table's defaults and the model's are the same: code that makes a PoolSpec by hand gets what a file would give it.
TEST(Config, DefaultsAreTheModels) {
  Config expected;
  expected.pools["p"].name = "p";
  expected.pools["p"].image = "localhost/x:1";
  EXPECT_EQ(parsed("pools: {p: {image: localhost/x:1}}"), expected);
}

TEST(Config, DiskIsHalfOfMemoryWhenNotGiven) {
  EXPECT_EQ(parsed("pools: {p: {image: x:1, builders: {memory: 1GiB}}}").pools["p"].limits.disk, 512LL << 20);
  EXPECT_EQ(parsed("pools: {p: {image: x:1, builders: {memory: 1GiB, disk: 1GiB}}}").pools["p"].limits.disk, 1LL << 30);
}

TEST(Config, ImageReferences) {
  auto image = [](const std::string& text) { return parsed("pools: {p: {image: '" + text + "'}}").pools["p"].image; };
  for (const char* kept : {"docker://docker.io/library/debian:12", "containers-storage:localhost/x", "localhost/x",
                           "x:1", "x@sha256:0123", "oci:/srv/x:1", "docker-archive:/srv/x.tar"})
    EXPECT_EQ(image(kept), kept);
  EXPECT_EQ(image("oci:images/x:1"), "oci:/etc/mayfly/images/x:1");
  EXPECT_EQ(image("docker-archive:../x.tar"), "docker-archive:/etc/x.tar");
}

TEST(Config, ByteOrderMarkAndCarriageReturnsAreNoMatter) {
  EXPECT_EQ(parsed("\xef\xbb\xbfpools:\r\n  p:\r\n    image: x:1\r\n").pools["p"].image, "x:1");
}

TEST(ConfigTable, EveryExampleAndBoundIsAccepted) {
  for (const auto& key : config_keys()) {
    for (auto text : {key.example, key.fallback, key.min, key.max}) {
      if (text.empty()) continue;
      std::vector<ConfigProblem> problems;
      auto root = parse_yaml(std::string(key.name) + ": " + std::string(text), problems);
      ASSERT_TRUE(root) << key.name;
      ConfigValue value;
      EXPECT_TRUE(read_value(key, root->entries.at(0).value, "/", false, value, problems)) << key.name << ": " << text;
    }
    bool container = key.kind == ConfigKind::section || key.kind == ConfigKind::sections ||
                     key.kind == ConfigKind::list || key.kind == ConfigKind::later;
    EXPECT_EQ(key.store == nullptr, container) << key.name;
    EXPECT_EQ(key.doc.empty(), key.kind == ConfigKind::later) << key.name;
  }
}

// Both documents are made from the table. MAYFLY_WRITE_DOCS=1 writes them; otherwise a difference is a failure.
void expect_same(const fs::path& path, const std::string& expected) {
  if (std::getenv("MAYFLY_WRITE_DOCS") != nullptr) std::ofstream(path, std::ios::binary) << expected;
  EXPECT_TRUE(read(path) == expected)
      << path << " does not fit src/app/config_table.cc; run MAYFLY_WRITE_DOCS=1 app_config_test";
}

TEST(ConfigDocs, SchemaIsTheTables) { expect_same(MAYFLY_SOURCE_DIR "/docs/mayfly.schema.json", config_schema()); }

TEST(ConfigDocs, ReferenceIsTheTables) {
  fs::path path = MAYFLY_SOURCE_DIR "/docs/configuration.md";
  std::string text = read(path), begin = "<!-- generated from src/app/config_table.cc: begin -->\n",
              end = "<!-- generated from src/app/config_table.cc: end -->\n";
  auto from = text.find(begin), to = text.find(end);
  ASSERT_NE(from, std::string::npos);
  ASSERT_NE(to, std::string::npos);
  expect_same(path, text.substr(0, from) + begin + "\n" + config_reference() + "\n" + text.substr(to));
}

TEST(ConfigDocs, ExampleInTheDocumentIsRight) {
  std::string text = read(MAYFLY_SOURCE_DIR "/docs/configuration.md");
  auto from = text.find("```yaml\n") + 8;
  EXPECT_EQ(parsed(text.substr(from, text.find("```", from) - from)).pools["general"].max, 20);
}

TEST(ConfigSchema, IsJsonAndKnowsEveryKey) {
  auto schema = boost::json::parse(config_schema()).as_object();
  for (const auto& key : config_keys()) {
    const auto& section =
        key.in == ConfigSection::top ? schema : schema.at("$defs").at(config_section(key.in).id).as_object();
    EXPECT_EQ(section.at("properties").as_object().contains(key.name), key.kind != ConfigKind::later) << key.name;
    EXPECT_EQ(section.at("additionalProperties"), boost::json::value(false));
  }
}

TEST_F(ConfigFolder, InitTemplateIsAGoodConfiguration) {
  bool recipe = false, smoke = false;
  for (const auto& file : init_files()) {
    write(file.path, file.content);
    EXPECT_EQ(file.content.back(), '\n') << file.path;
    recipe |= file.path == "images/general/Dockerfile" &&
              file.content.find("ARG BASE=docker.io/library/debian:bookworm-slim\nFROM ${BASE}\n") != std::string::npos;
    smoke |= file.path == "images/general/smoke.sh" && file.executable && file.content.starts_with("#!/bin/sh\n");
  }
  EXPECT_TRUE(recipe);
  EXPECT_TRUE(smoke);
  auto config = load_config((folder_ / "mayfly.yaml").string());
  ASSERT_TRUE(config) << config.error().text();
  EXPECT_EQ(config->images["general"].recipe, (folder_ / "images/general").string());
  EXPECT_TRUE(fs::exists(config->images["general"].recipe + "/Dockerfile"));
}

// What is commented out in the template is right as well: a person uncomments it and goes on.
TEST(InitTemplate, CommentedKeysAreGood) {
  std::string text;
  std::istringstream lines(init_files().at(0).content);
  for (std::string line; std::getline(lines, line);) {
    auto hash = line.find_first_not_of(' ');
    bool key =
        hash != std::string::npos && line[hash] == '#' && hash + 2 < line.size() &&
        line.find(':') != std::string::npos &&
        (hash > 0 || line.starts_with("# secrets:") || line.starts_with("# server:") || line.starts_with("#   "));
    if (line.starts_with("#   mayfly")) key = false;
    text += (key ? line.substr(0, hash) + line.substr(hash + 2) : line) + "\n";
  }
  auto config = parsed(text);
  EXPECT_EQ(config.secrets.size(), 2u) << text;
  EXPECT_EQ(config.pools["general"].secrets.size(), 1u);
  EXPECT_EQ(config.server.listen, "0.0.0.0:8443");
  EXPECT_EQ(config.images["general"].args.size(), 1u);
}

TEST_F(ConfigFolder, LoadSaysWhatIsWrongWithTheFile) {
  auto text = [](const std::string& path) {
    auto config = load_config(path);
    EXPECT_FALSE(config);
    return config ? "" : config.error().text();
  };
  auto path = (folder_ / "mayfly.yaml").string();
  EXPECT_EQ(text(path),
            path + ": there is no such file. `mayfly init` writes one to begin with; --config names another.");
  EXPECT_EQ(text(folder_.string()), folder_.string() + ": this is a folder, not a file. Did you mean " + path + "?");
  EXPECT_EQ(text(write("big.yaml", std::string((1 << 20) + 1, '#'))),
            (folder_ / "big.yaml").string() +
                ": the file is larger than 1048576 bytes. A configuration is never that large.");
  EXPECT_THAT(text(write("bad.yaml", "pool: 1\n")),
              StartsWith((folder_ / "bad.yaml").string() + ":1:1: unknown key 'pool'"));
}

}  // namespace
}  // namespace mayfly
