#include "app/up.h"

#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <fmt/format.h>

#include "app/config.h"
#include "app/daemon.h"
#include "base/text.h"
#include "os/file.h"

namespace mayfly {
namespace {

// SIGHUP asks for the configuration to be read again, the others for an end.
sigset_t awaited_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  return set;
}

Result<LogLevel> log_level(const std::string& name) {
  if (name.empty() || name == "info") return LogLevel::info;
  if (name == "debug") return LogLevel::debug;
  if (name == "warning") return LogLevel::warning;
  if (name == "error") return LogLevel::error;
  return fail(ErrorCode::invalid, fmt::format("'{}' is not a log level", name), "--log-level",
              "Use debug, info, warning or error.");
}

std::string default_config() {
  for (const char* path : {"mayfly.yaml", "/etc/mayfly/mayfly.yaml"})
    if (::access(path, R_OK) == 0) return path;
  return "mayfly.yaml";
}

// One heap for all threads, grown in large steps and kept: the kernel is not asked for memory while a job waits.
void keep_memory() {
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_TOP_PAD, 1 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 16 << 20);
}

int complain(const Error& e) {
  std::fprintf(stderr, "mayfly: %s\n", e.text().c_str());
  return 1;
}

}  // namespace

int run_up(const UpRequest& request) {
  keep_memory();
  auto level = log_level(request.log_level);
  if (!level) return complain(level.error());
  std::error_code unknown_place;
  auto file = std::filesystem::absolute(request.config.empty() ? default_config() : request.config, unknown_place);
  auto config = load_config(request.config.empty() ? default_config() : request.config);
  if (!config) return complain(config.error());
  for (const auto& [name, pool] : config->pools)
    if (pool.network == Network::host)
      std::fprintf(stderr, "mayfly: pool '%s' gives its jobs the host's own network (network: host)\n", name.c_str());

  // Blocked before any thread exists, so that only the wait below ever gets them.
  auto signals = awaited_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  const Log log(*level);
  auto daemon = Daemon::start(std::move(*config), file.lexically_normal().string(),
                              request.state.empty() ? default_state_directory() : request.state, StateLife::lasting,
                              log, [] { ::kill(::getpid(), SIGTERM); });  // for the wait below
  if (!daemon) return complain(daemon.error());
  log.info("mayfly is up on {}", (*daemon)->listening());
  int signal = 0;
  while (::sigwait(&signals, &signal) == 0 && signal == SIGHUP) (*daemon)->reload();
  log.info("stopping: idle builders go, running jobs go on and are adopted by the next start; again to leave at once");
  sigdelset(&signals, SIGHUP);  // it would end the daemon now
  ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  (*daemon)->stop(OnStop::keep_running_jobs);
  log.info("stopped");
  return 0;
}

Result<Standalone> run_standalone(const StandaloneRequest& request) {
  Config config;
  PoolSpec pool;
  pool.name = "run";
  pool.image = request.image;
  pool.max = 1;
  pool.network = request.network;
  pool.secrets = request.secrets;
  if (request.memory) pool.limits.memory = *request.memory;
  pool.limits.disk = pool.limits.memory / 2;
  if (request.timeout) pool.limits.timeout = *request.timeout;
  for (const auto& name : request.secrets) config.secrets[name] = {name, secret_variable(name), {}};
  config.pools[pool.name] = pool;

  // Short, since unix socket paths have 107 bytes at most.
  const char* base = std::getenv("XDG_RUNTIME_DIR");
  std::string directory = std::string(::geteuid() != 0 && base ? base : "/tmp") + "/mayfly-XXXXXX";
  if (!::mkdtemp(directory.data()))
    return Unexpected(errno_error("cannot make a temporary directory", errno, directory));

  // Only what the user must know: this daemon is an inner part of one command.
  auto log = std::make_shared<Log>(LogLevel::error);
  auto started = Daemon::start(std::move(config), {}, directory, StateLife::passing, *log);
  if (!started) {
    (void)os::remove_tree(directory);
    return Unexpected(started.error());
  }
  std::shared_ptr<Daemon> daemon = std::move(*started);
  return Standalone{daemon->paths().socket(), "run", [daemon, log, directory]() mutable {
                      daemon->stop(OnStop::stop_everything);
                      daemon.reset();
                      (void)os::remove_tree(directory);
                    }};
}

}  // namespace mayfly
