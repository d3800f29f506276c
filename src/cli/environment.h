#pragma once
// What the command line is given by the program around it: its standard streams, the environment, and the few things
// that only the app can do. A test gives pipes and lambdas.
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/pool.h"

namespace mayfly {

struct UpRequest {
  std::string config;     // a file; empty: the default
  std::string state;      // a directory; never empty
  std::string log_level;  // debug, info, warning, error; empty: info
};

// `mayfly run --image`: a private daemon in this process, for one job.
struct StandaloneRequest {
  std::string image;
  Network network = Network::egress;
  std::optional<std::int64_t> memory;  // bytes
  std::optional<Duration> timeout;     // becomes the pool's, so that a longer one than its default is possible
  std::vector<std::string> secrets;    // names; their values are in this process's environment, see secret_variable()
};

struct Standalone {
  std::string socket;
  PoolName pool;
  std::function<void()> stop;  // ends the daemon and removes all of it; called once
};

// `mayfly simulate`. The jobs are one of: `jobs` equal ones, a trace, or a history.
struct SimulateRequest {
  std::string config, compare;  // files; empty: the default, none
  std::size_t jobs = 0;
  Duration over{}, duration{};
  std::string trace;  // a file
  std::optional<std::vector<Job>> history;
  std::string pool;  // all jobs go there; empty: as the jobs say
  std::optional<Duration> start, resolution;
  std::optional<int> launches;
  std::string target;  // "p95 wait <= 30s"; empty: none
  bool find = false, json = false;
  std::string html;  // a file to write; empty: none
};

struct SimulateAnswer {
  std::string text;  // to print
  bool met = true;   // false: there was a target, and it was missed
};

struct DoctorCheck {
  enum class Status { ok, warning, missing };
  std::string name;
  Status status = Status::ok;
  std::string found;
  std::string advice;  // what to do; empty where nothing need be done
};

// What `mayfly image verify` found.
struct ImageProof {
  std::string repository, digest;
  std::vector<std::pair<std::string, std::string>> attestations;  // predicate type, in-toto statement as JSON
};

struct CliEnvironment {
  int in = 0, out = 1, err = 2;
  bool out_is_terminal = false, err_is_terminal = false;
  std::map<std::string, std::string> variables;
  bool is_root = false;
  std::string version;

  // A hook that is not set makes its command say that this program cannot do it.
  std::function<int(const UpRequest&)> up;  // gives the exit code
  std::function<Result<Standalone>(const StandaloneRequest&)> run_standalone;
  std::function<std::vector<DoctorCheck>()> doctor;
  std::function<Result<SimulateAnswer>(const SimulateRequest&)> simulate;
  std::function<Result<std::vector<std::string>>(const std::string& directory)> init;  // gives the files written
  std::function<std::string()> schema;                                                 // of the configuration, as text
  std::function<Result<ImageProof>(const std::string& reference, const std::string& key_file)> verify_image;
  std::function<Result<std::string>(const std::string& file)> check_config;  // gives one sentence on what is in it
};

}  // namespace mayfly
