#include "app/daemon.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdlib>

#include <fmt/format.h>

#include "api/control_backend.h"
#include "api/service.h"
#include "app/catalog.h"
#include "app/config.h"
#include "app/step_hook.h"
#include "control/control.h"
#include "net/agent_links.h"
#include "os/file.h"
#include "secrets/configured_secrets.h"
#include "store/sqlite/sqlite_store.h"

namespace mayfly {
namespace {

// Two daemons on one state directory would each stop the other's builders as orphans.
Result<os::Fd> lock_state(const StatePaths& paths) {
  MAYFLY_ASSIGN(auto fd, os::open_file(paths.lock(), O_RDWR | O_CREAT));
  if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    char pid[32] = {};
    [[maybe_unused]] auto n = ::pread(fd.get(), pid, sizeof pid - 1, 0);
    return fail(ErrorCode::conflict, fmt::format("another daemon (pid {}) uses this state directory", pid), paths.root,
                "Stop it, or give this one a --state of its own.");
  }
  auto pid = std::to_string(::getpid());
  if (::ftruncate(fd.get(), 0) != 0 || ::pwrite(fd.get(), pid.data(), pid.size(), 0) < 0)
    return Unexpected(errno_error("cannot write the lock", errno, paths.lock()));
  return fd;
}

api::ConfigReader config_reader(const std::string& own) {
  return [own](const api::ConfigSource& source) -> Result<api::ReadConfig> {
    api::ReadConfig out{{}, source.text ? source.file : own, !source.text || source.file == own};
    if (!source.text && own.empty())
      return fail(ErrorCode::conflict, "this daemon was started without a configuration file", {}, "Name one.");
    MAYFLY_ASSIGN(out.config, source.text ? parse_config(*source.text, source.file) : load_config(own));
    return out;
  };
}

}  // namespace

// In the order in which they are started; destroyed in the reverse.
struct Daemon::Parts {
  SystemClock clock;
  StatePaths paths;
  Config config;
  os::Fd lock;
  std::unique_ptr<SqliteStore> store;
  std::unique_ptr<ConfiguredSecrets> secrets;
  std::unique_ptr<ImageTool> images;
  std::unique_ptr<Publisher> publisher;
  std::unique_ptr<ImageWorks> works;
  std::unique_ptr<Reporter> reporter;
  std::vector<std::unique_ptr<Platform>> platforms;
  std::unique_ptr<Control> control;
  std::unique_ptr<api::ControlBackend> backend;
  std::unique_ptr<net::Server> api;
  const Log* log = nullptr;
};

Daemon::Daemon(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Daemon::~Daemon() { stop(OnStop::keep_running_jobs); }

Result<std::unique_ptr<Daemon>> Daemon::start(Config config, const std::string& config_file,
                                              const std::string& state_directory, StateLife life, const Log& log,
                                              std::function<void()> on_drained) {
  auto p = std::make_unique<Parts>();
  p->log = &log;
  p->config = std::move(config);
  char* absolute = nullptr;
  MAYFLY_TRY(os::make_directories(state_directory));
  if (!(absolute = ::realpath(state_directory.c_str(), nullptr)))
    return Unexpected(errno_error("cannot find the state directory", errno, state_directory));
  p->paths.root = absolute;
  ::free(absolute);
  MAYFLY_ASSIGN(p->lock, lock_state(p->paths));
  for (const auto& d : {p->paths.uploads(), p->paths.jobs()}) MAYFLY_TRY(os::make_directories(d));
  // Platforms first: they start helper processes, which is cheapest and safest before there are threads and open files.
  MAYFLY_ASSIGN(p->platforms, make_platforms(p->config, p->paths, life, log));
  MAYFLY_ASSIGN(p->store, SqliteStore::open(p->paths.database()));
  p->secrets = std::make_unique<ConfiguredSecrets>(p->config.secrets);
  p->images = make_image_tool();
  MAYFLY_ASSIGN(p->publisher, make_publisher(p->config, p->paths));
  p->works = make_image_works(p->paths);
  p->reporter = make_reporter(*p->secrets);

  ControlParts parts{
      p->clock, log, *p->store, *p->secrets, *p->images, {}, {}, p->paths, p->config, {}, step_hook_from_environment()};
  parts.on_drained = std::move(on_drained);
  parts.on_config = [secrets = p->secrets.get()](const Config& c) { secrets->replace(c.secrets); };
  parts.publisher = p->publisher.get();
  for (auto& platform : p->platforms) parts.platforms.push_back(platform.get());
  parts.make_ci = ci_maker(*p->secrets, p->clock, log);
  for (const auto& [name, pool] : p->config.pools) {
    MAYFLY_ASSIGN(auto ci, parts.make_ci(pool));
    if (ci) parts.cis[name] = std::move(ci);
  }
  parts.works = p->works.get();
  parts.reporter = p->reporter.get();
  parts.make_agents = [&log](AgentSink sink) { return net::make_agent_links(std::move(sink), log); };
  MAYFLY_ASSIGN(p->control, Control::start(std::move(parts)));
  p->backend = std::make_unique<api::ControlBackend>(*p->control, config_reader(config_file));
  MAYFLY_ASSIGN(p->api, api::serve({p->paths, p->config.server, MAYFLY_VERSION, {}}, *p->backend, log));
  return std::unique_ptr<Daemon>(new Daemon(std::move(p)));
}

void Daemon::reload() {
  ConfigOrder order;
  order.who = "SIGHUP";
  parts_->backend->apply_config({}, std::move(order), [log = parts_->log](Result<api::ConfigPlan> plan) {
    if (!plan) return log->error("the configuration stays as it is: {}", plan.error().text());
    log->info("{} was read again: {}", plan->file, plan->summary);
  });
}

void Daemon::stop(OnStop how) {
  if (!parts_->control) return;
  // The API goes on answering while builders stop, so that clients see their jobs' ends.
  parts_->control->stop(how == OnStop::keep_running_jobs);
  parts_->api.reset();
  parts_->backend.reset();  // may be reading a configuration for control
  parts_->control.reset();
}

const StatePaths& Daemon::paths() const { return parts_->paths; }

std::string Daemon::listening() const {
  auto out = "unix://" + parts_->paths.socket();
  if (!parts_->config.server.listen.empty()) out += " and https://" + parts_->config.server.listen;
  return out;
}

std::string default_state_directory() {
  if (::geteuid() == 0) return "/var/lib/mayfly";
  if (const char* state = std::getenv("XDG_STATE_HOME"); state && *state == '/') return std::string(state) + "/mayfly";
  const char* home = std::getenv("HOME");
  return std::string(home ? home : "/tmp") + "/.local/state/mayfly";
}

}  // namespace mayfly
