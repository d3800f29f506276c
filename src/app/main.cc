// `mayfly`: the command line, and behind `mayfly up` and `mayfly run --image` the daemon.
#include <signal.h>
#include <unistd.h>

#include <fmt/format.h>

#include "app/catalog.h"
#include "app/config.h"
#include "app/doctor.h"
#include "app/init_template.h"
#include "app/simulate.h"
#include "app/up.h"
#include "cli/cli.h"
#include "os/file.h"

extern char** environ;

namespace mayfly {
namespace {

Result<std::vector<std::string>> init(const std::string& directory) {
  std::vector<std::string> written;
  auto files = init_files();
  // All or nothing: what somebody wrote before is never touched.
  for (const auto& f : files) {
    auto path = directory + "/" + f.path;
    if (::access(path.c_str(), F_OK) == 0)
      return fail(ErrorCode::conflict, "it exists already", path, "Remove it, or name another directory.");
  }
  for (const auto& f : files) {
    auto path = directory + "/" + f.path;
    MAYFLY_TRY(os::make_directories(path.substr(0, path.rfind('/')), 0755));
    MAYFLY_TRY(os::write_file_atomically(path, f.content, f.executable ? 0755 : 0644));
    written.push_back(path);
  }
  return written;
}

Result<std::string> check_config(const std::string& file) {
  MAYFLY_ASSIGN(auto config, load_config(file));
  return fmt::format("{} is fine: {} pool{}, {} image{}", file, config.pools.size(),
                     config.pools.size() == 1 ? "" : "s", config.images.size(), config.images.size() == 1 ? "" : "s");
}

CliEnvironment environment() {
  CliEnvironment e;
  e.out_is_terminal = ::isatty(1) != 0;
  e.err_is_terminal = ::isatty(2) != 0;
  for (char** v = environ; *v; ++v) {
    std::string entry(*v);
    if (auto at = entry.find('='); at != std::string::npos) e.variables[entry.substr(0, at)] = entry.substr(at + 1);
  }
  e.is_root = ::geteuid() == 0;
  e.version = MAYFLY_VERSION;
  e.up = run_up;
  e.run_standalone = run_standalone;
  e.doctor = doctor;
  e.simulate = run_simulate;
  e.init = init;
  e.schema = config_schema;
  e.check_config = check_config;
  e.verify_image = verify_published;
  return e;
}

}  // namespace
}  // namespace mayfly

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);  // a reader that went away is an error of a write, not the end of the daemon
  auto environment = mayfly::environment();
  return mayfly::cli_main({argv + 1, argv + argc}, environment);
}
