#pragma once
// What the configuration says: pools, images, secrets, the server. Values only; validated where they are read
// (app/config).
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "model/job.h"
#include "model/rollout.h"

namespace mayfly {

enum class Network {
  none,    // its own namespace, loopback only
  egress,  // outgoing connections only; no way to the host's loopback nor to other builders
  host,    // the host's own network: must be asked for by name, and is recorded in the ledger
};
std::string_view to_string(Network n);
std::optional<Network> network_from(std::string_view name);

struct Limits {
  double cpu = 0;                             // cores; 0: not limited
  std::int64_t memory = 4LL << 30;            // bytes, workspace included, since the workspace lives in memory
  std::int64_t disk = 2LL << 30;              // bytes of workspace: everything a job writes outside the image
  int pids = 4096;                            // processes and threads
  Duration timeout = std::chrono::hours(1);   // of a job
  Duration grace = std::chrono::seconds(10);  // between SIGTERM and SIGKILL
  std::int64_t log = 1LL << 30;               // bytes of a job's output that are kept; the rest is dropped, and said so

  bool operator==(const Limits&) const = default;
};

// From each of its times on, until another entry's time: these values instead of the pool's own.
struct ScheduleEntry {
  std::string cron;  // five fields (plan/cron.h)
  std::string timezone = "UTC";
  std::optional<int> warm, min, max;
  bool refresh = false;  // at its times idle builders are replaced; busy ones are left to finish

  bool operator==(const ScheduleEntry&) const = default;
};

struct PoolSpec {
  PoolName name;
  std::string image;  // a name from images:, perhaps with what it follows ("general@^2"), or any reference skopeo knows
  std::string ci = "builtin";
  std::map<std::string, std::string> ci_settings;  // the keys of `ci: {KIND: {…}}`, for its connector
  std::string platform = "local";
  int warm = 0;  // ready ahead of jobs
  int min = 0;   // that exist at least, busy ones counted
  int max = 10;
  Limits limits;
  Network network = Network::egress;
  std::vector<std::string> secrets;  // names that jobs of this pool may ask for
  RolloutRules rollout;              // of an image with versions
  std::vector<std::string> labels;   // jobs that ask for some of these may come here; compared without case
  int preference = 0;                // of the pools that could take a job, the one with the least is asked first
  double weight = 1;                 // its share where pools compete for a platform
  double price = 0;                  // of one builder for one hour, in any currency; only `mayfly simulate` asks

  std::vector<ScheduleEntry> schedule;

  bool operator==(const PoolSpec&) const = default;
};

// Through which pool's CI the commits of an image's repository get a status, and what its Git host calls that.
struct CommitStatusSpec {
  PoolName pool;  // empty: they get none
  std::string repository;
  bool operator==(const CommitStatusSpec&) const = default;
};

// A Docker Engine elsewhere that builds images which cannot be built here, such as those for Windows.
struct DockerSpec {
  std::string url;           // "unix:///run/docker.sock" or "tcp://HOST:2376"; empty: there is none
  std::string certificates;  // a folder with ca.pem, cert.pem and key.pem; empty: no TLS
  bool operator==(const DockerSpec&) const = default;
};

struct ImageSpec {
  std::string name;
  std::string recipe;  // absolute path of the folder with the Dockerfile; empty: released versions only
  std::map<std::string, std::string> args;  // build arguments (ARG in the Dockerfile)
  std::vector<std::string> publish =
      {};  // repositories that each version is brought to: "registry.example/team/general"
  std::vector<std::string> provides = {};    // programs or packages whose loss makes the next version a major one
  std::string compression = "zstd:chunked";  // of published layers; or "gzip"
  // How it is built from git; see model/image_build.h.
  std::string repository = {};             // where the recipe is; empty: the repository that its folder lies in
  std::string branch = "main";             // that it is released from
  std::string builder = {};                // the pool whose builders build it; empty: this host does
  std::vector<std::string> attempts = {};  // `try:` commands to run as a job on a candidate
  std::vector<std::string> secrets = {};   // names that its build may read
  std::vector<std::string> forbid = {};    // patterns of paths that it must not have
  double growth = 0.5;                     // by which share it may be larger than the last one
  int approvals = 0;                       // of people, needed before a release
  std::string rebuild = {};                // cron: on a fresh base; empty: never
  Duration watch{};                        // how often the repository is asked for commits; 0: never
  // … and registries for the bases that it is built FROM; not given: every hour where `watch` is.
  std::optional<Duration> watch_base = {};
  std::vector<std::string> platforms = {};  // "linux/amd64", "linux/arm64"; empty: this host's
  DockerSpec docker = {};                   // the Docker Engine that builds it; without a URL: none does
  CommitStatusSpec commit_status = {};
  bool operator==(const ImageSpec&) const = default;
};

// How often registries are asked for the bases of the image; 0: never.
inline Duration base_interval(const ImageSpec& image) {
  return image.watch_base.value_or(image.watch > Duration(0) ? std::chrono::hours(1) : Duration(0));
}

// The image whose versions the pool follows; null where it does not: it names a reference, or a recipe as it is.
inline const ImageSpec* versioned_image(const PoolSpec& pool, const std::map<std::string, ImageSpec>& images) {
  auto [name, range] = split_image(pool.image);
  auto found = images.find(std::string(name));
  if (found == images.end()) return nullptr;
  // A recipe that is only in a repository cannot be used as it is.
  if (range.empty() && !found->second.recipe.empty() && found->second.repository.empty()) return nullptr;
  return &found->second;
}

struct SecretSpec {
  std::string name;
  std::string env;   // the daemon's environment variable that holds it, or
  std::string file;  // an absolute path of the file that does (one trailing newline dropped)
  bool operator==(const SecretSpec&) const = default;
};

// How versions are released and published, whatever the image.
struct ReleaseSpec {
  std::string key;                              // PEM file of the private key that signs; empty: nothing is signed
  int keep = 10;                                // versions of each image, the highest, that are never swept
  Duration patience = std::chrono::minutes(2);  // with a registry that does not answer
  bool operator==(const ReleaseSpec&) const = default;
};

// What all pools of one platform share.
struct PlatformSpec {
  int max = 0;                  // builders that exist at once; 0: as many as the pools allow
  int parallel_launches = 0;    // at once; 0: as the platform thinks best
  int launches_per_minute = 0;  // 0: not limited
  // "HOST[:PORT][/PATH]": released images that are published there are pulled from there, and no pool moves to a
  // version before it is there. Empty: versions are had by the reference that they were released with.
  std::vector<std::string> registries = {};
  bool operator==(const PlatformSpec&) const = default;
};

struct ServerSpec {
  std::string listen;                    // "HOST:PORT" for TCP with TLS; empty: unix socket only
  std::string tls_certificate, tls_key;  // PEM files
  std::string tokens;                    // file: lines "NAME SHA256-HEX-OF-TOKEN"
  bool operator==(const ServerSpec&) const = default;
};

// Who is told how builds of images stand.
struct ReportSpec {
  std::string url;     // that gets a POST; empty: nobody is told
  std::string secret;  // the name of the one that signs
  Duration timeout = seconds(10);
  bool operator==(const ReportSpec&) const = default;
};

struct Config {
  std::map<PoolName, PoolSpec> pools;
  std::map<std::string, ImageSpec> images;
  std::map<std::string, SecretSpec> secrets;
  std::map<std::string, PlatformSpec> platforms;
  ServerSpec server;
  ReleaseSpec release;
  ReportSpec report;
  Duration keep_jobs = std::chrono::hours(24 * 30);  // finished jobs and their logs are kept this long
  bool operator==(const Config&) const = default;
};

}  // namespace mayfly
