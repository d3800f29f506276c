#include "cli/run_request.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/text.h"

namespace mayfly {
namespace {

constexpr std::size_t max_script = 1u << 20;

Result<std::string> read_all(int fd, const std::string& name, std::size_t limit) {
  std::string out;
  std::array<char, 16 << 10> buffer;
  for (;;) {
    ssize_t n = ::read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Unexpected(errno_error("it cannot be read", errno, name));
    if (n == 0) return out;
    out.append(buffer.data(), static_cast<std::size_t>(n));
    if (out.size() > limit)
      return fail(ErrorCode::exhausted,
                  fmt::format("it is longer than {}", format_bytes(static_cast<std::int64_t>(limit))), name);
  }
}

Result<std::string> read_file(const std::string& name, std::size_t limit) {
  int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return Unexpected(errno_error("it cannot be opened", errno, name));
  auto out = read_all(fd, name, limit);
  ::close(fd);
  return out;
}

// "K=V", or "K" for the value that K has here.
Result<void> add_variable(JobSpec& spec, std::string_view text, const Call& call, const std::string& where) {
  auto equals = text.find('=');
  std::string name(text.substr(0, equals));
  if (name.empty() || name.find('\0') != std::string::npos)
    return fail(ErrorCode::invalid, fmt::format("'{}' names no variable", text), where, "Write NAME=VALUE.");
  if (equals != std::string_view::npos) {
    spec.env[name] = std::string(text.substr(equals + 1));
    return {};
  }
  auto it = call.environment.variables.find(name);
  if (it == call.environment.variables.end())
    return fail(ErrorCode::not_found, fmt::format("the variable {} is not set here", name), where,
                fmt::format("Set it, or write {}=VALUE.", name));
  spec.env[name] = it->second;
  return {};
}

Result<void> add_file(JobSpec& spec, const std::string& file, const Call& call) {
  MAYFLY_ASSIGN(auto text, read_file(file, max_script));
  int number = 0;
  for (const auto& line : split(text, '\n')) {
    ++number;
    auto shown = trim(line);
    if (shown.empty() || shown.front() == '#') continue;
    std::string_view whole(line);
    if (whole.ends_with('\r')) whole.remove_suffix(1);
    MAYFLY_TRY(
        add_variable(spec, whole.substr(whole.find_first_not_of(" \t")), call, fmt::format("{}:{}", file, number)));
  }
  return {};
}

Result<void> environment_of(RunRequest& r, const Call& call) {
  for (const auto& file : call.values("env-file")) MAYFLY_TRY(add_file(r.spec, file, call));
  for (const auto& v : call.values("env")) MAYFLY_TRY(add_variable(r.spec, v, call, "--env"));
  return {};
}

Result<void> command_of(RunRequest& r, const Call& call) {
  r.spec.command = call.line.operands;
  if (!call.has("script")) {
    if (r.spec.command.empty())
      return fail(ErrorCode::invalid, "there is nothing to run", {},
                  "Write the command after the options, or name a file with --script.");
    return {};
  }
  if (!r.spec.command.empty())
    return fail(ErrorCode::invalid, "--script and a command exclude each other", {}, "Give one of them.");
  auto file = call.value("script");
  if (file == "-") {
    MAYFLY_ASSIGN(r.spec.script, read_all(call.environment.in, "standard input", max_script));
  } else {
    MAYFLY_ASSIGN(r.spec.script, read_file(file, max_script));
  }
  if (r.spec.script.empty()) return fail(ErrorCode::invalid, "it is empty", file == "-" ? "standard input" : file);
  return {};
}

Result<void> place_of(RunRequest& r, const Call& call) {
  r.spec.pool = call.value("pool");
  r.image = call.value("image");
  r.spec.labels = call.values("label");
  int places = !r.spec.pool.empty() + !r.image.empty() + !r.spec.labels.empty();
  if (places != 1)
    return fail(
        ErrorCode::invalid,
        places == 0 ? "it is not said where the job shall run" : "--pool, --label and --image exclude each other", {},
        "Give --pool POOL or --label LABEL to run it by the daemon, or --image REF to run it without one.");
  if (!r.image.empty()) {
    if (!call.line.connection.empty())
      return fail(ErrorCode::invalid,
                  fmt::format("--image runs without a daemon, and --{} names one", call.line.connection.begin()->first),
                  {}, "Give --pool instead of --image, or leave it out.");
    if (call.has("detach"))
      return fail(ErrorCode::invalid, "--detach needs a daemon, and --image runs without one", {},
                  "Give --pool instead.");
    return {};
  }
  for (const char* option : {"network", "memory"})
    if (call.has(option))
      return fail(ErrorCode::invalid, fmt::format("--{} is for --image; a pool has its own", option), {},
                  "Set it in the pool's configuration.");
  return {};
}

Result<void> standalone_of(RunRequest& r, const Call& call) {
  r.standalone.image = r.image;
  r.standalone.timeout = r.spec.timeout;
  r.standalone.secrets = r.spec.secrets;
  if (call.has("network")) {
    auto kind = network_from(call.value("network"));
    if (!kind)
      return fail(ErrorCode::invalid, fmt::format("'{}' is none of none, egress, host", call.value("network")),
                  "--network");
    r.standalone.network = *kind;
  }
  if (call.has("memory")) {
    MAYFLY_ASSIGN(r.standalone.memory, parse_bytes(call.value("memory")));
  }
  for (const auto& s : r.spec.secrets) {
    if (!r.image.empty() && !call.environment.variables.contains(secret_variable(s)))
      return fail(ErrorCode::not_found,
                  fmt::format("the secret {} has no value: the variable {} is not set here", s, secret_variable(s)),
                  "--secret", "With --image a secret comes from the environment; set that variable.");
  }
  return {};
}

void transfers_of(RunRequest& r, const Call& call) {
  r.upload = call.value("upload");
  r.download = call.value("download");
  if (r.download.empty()) return;
  auto colon = r.download.rfind(':');
  r.spec.output = colon == std::string::npos ? "" : r.download.substr(colon + 1);
  r.download = r.download.substr(0, colon);
  if (r.spec.output.empty()) r.spec.output = "/workspace";
  if (r.download.empty()) r.download = ".";
}

}  // namespace

Result<RunRequest> run_request(Call& call) {
  RunRequest r;
  MAYFLY_TRY(place_of(r, call));
  MAYFLY_TRY(command_of(r, call));
  MAYFLY_TRY(environment_of(r, call));
  r.spec.name = call.value("name");
  r.spec.secrets = call.values("secret");
  r.spec.repeatable = call.has("repeatable");
  if (call.has("timeout")) {
    MAYFLY_ASSIGN(r.spec.timeout, parse_duration(call.value("timeout")));
  }
  MAYFLY_ASSIGN(auto priority, call.number("priority", 0, -1000, 1000));
  r.spec.priority = static_cast<int>(priority);
  transfers_of(r, call);
  MAYFLY_TRY(standalone_of(r, call));
  r.detach = call.has("detach");
  r.json = call.has("json");
  if (r.detach && !r.download.empty())
    return fail(ErrorCode::invalid, "--download needs the end of the job, and --detach does not wait for it", {},
                "Leave one of them out.");
  return r;
}

}  // namespace mayfly
