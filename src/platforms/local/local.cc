#include "platforms/local/local.h"

#include <fcntl.h>
#include <pwd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "base/text.h"
#include "os/file.h"
#include "os/process.h"
#include "platforms/local/host_cgroups.h"
#include "platforms/local/launcher_program.h"
#include "platforms/local/launcher_support.h"
#include "platforms/local/seccomp.h"
#include "platforms/local/slot.h"

namespace mayfly::local {
namespace {

constexpr std::size_t resolv_limit = 64u << 10;

struct IdRange {
  std::uint32_t first = 0, count = 0;
};

// This user's first range in /etc/subuid or /etc/subgid: lines "NAME-OR-UID:FIRST:COUNT".
Result<IdRange> subordinate_ids(const std::string& file) {
  const passwd* user = getpwuid(geteuid());
  const std::string name = user ? user->pw_name : "", number = std::to_string(geteuid());
  for (const auto& line : split(os::read_file(file, 1u << 20).value_or(""), '\n')) {
    const auto parts = split(line, ':');
    if (parts.size() != 3 || (parts[0] != name && parts[0] != number)) continue;
    const IdRange range{static_cast<std::uint32_t>(std::strtoul(parts[1].c_str(), nullptr, 10)),
                        static_cast<std::uint32_t>(std::strtoul(parts[2].c_str(), nullptr, 10))};
    if (range.first > 0 && range.count > 0) return range;
  }
  return fail(
      ErrorCode::unsupported, "this user has no subordinate ids", file,
      "As root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " + (name.empty() ? number : name));
}

// The same for the same directory, different for another, so that two daemons on one host keep apart.
std::string cgroup_name(const std::string& directory) {
  std::uint64_t hash = 14695981039346656037ull;
  for (unsigned char c : directory) hash = (hash ^ c) * 1099511628211ull;
  return "/mayfly-" + to_hex(std::string_view(reinterpret_cast<const char*>(&hash), 6));
}

// A directory that every host has and that hides nothing a launch needs: covered in each builder's own mount namespace.
std::string choose_place(const std::string& directory, const std::string& runtime) {
  for (const char* candidate : {"/mnt", "/media", "/srv", "/opt", "/tmp"}) {
    const std::string below = std::string(candidate) + "/";
    if (access(candidate, X_OK) == 0 && !directory.starts_with(below) && !runtime.starts_with(below)) return candidate;
  }
  return "";
}

Result<std::string> choose_runtime(const std::string& wanted) {
  for (const std::string& name :
       wanted == "auto" ? std::vector<std::string>{"crun", "runc"} : std::vector<std::string>{wanted})
    if (auto found = os::find_program(name); !found.empty()) return found;
  return fail(ErrorCode::unsupported,
              wanted == "auto" ? "neither crun nor runc is installed" : wanted + " is not installed", "platform local",
              "Install one: apt-get install crun");
}

Result<void> put_program(const std::string& path, std::string_view bytes) {
  if (auto there = os::read_file(path, bytes.size()); there && *there == bytes) return {};
  return os::write_file_atomically(path, bytes, 0755);
}

}  // namespace

Result<std::unique_ptr<LocalPlatform>> LocalPlatform::create(LocalOptions options, const Log& log) {
  std::unique_ptr<LocalPlatform> platform(new LocalPlatform(std::move(options), log));
  MAYFLY_TRY(platform->set_up());
  platform->adopted_ = names_in(platform->options_.directory + "/b");
  MAYFLY_TRY(platform->launcher());
  return platform;
}

Result<void> LocalPlatform::set_up() {
  const std::string& directory = options_.directory;
  if (directory.empty() || directory[0] != '/')
    return fail(ErrorCode::invalid, "the state directory must be an absolute path", directory);
  for (const char* below : {"/b", "/s", "/r", "/l", "/trash"}) MAYFLY_TRY(os::make_directories(directory + below));
  MAYFLY_TRY(put_program(directory + "/agent", options_.agent_program));
  MAYFLY_TRY(put_program(directory + "/launcher", launcher_program()));
  MAYFLY_ASSIGN(const SeccompFilter filter, compile_seccomp_filter());
  log_.debug("system calls are filtered by {} ({} bytes)", filter.origin, filter.program.size());
  MAYFLY_TRY(os::write_file_atomically(directory + "/" + seccomp_file, filter.program, 0600));
  MAYFLY_ASSIGN(const std::string runtime, choose_runtime(options_.runtime));
  const HostCgroups cgroups = probe_cgroups();
  setup_.directory = directory;
  setup_.agent = directory + "/agent";
  for (Network n : options_.networks) setup_.expected.push_back(static_cast<int>(n));
  setup_.remove_when_gone = options_.remove_when_gone;
  setup_.runtime = runtime;
  setup_.is_runc = runtime.ends_with("runc");
  setup_.cgroup_roots = cgroups.roots;
  setup_.cgroup_v2 = cgroups.v2();
  setup_.cgroup = cgroups.roots.empty() ? "" : cgroup_name(directory);
  setup_.hide_unified = !setup_.is_runc && cgroups.layout == HostCgroups::Layout::hybrid;
  setup_.first_uid = setup_.first_gid = mapped_uid;
  setup_.ids = mapped_ids;
  if (geteuid() != 0) MAYFLY_TRY(set_up_rootless());
  setup_.place = choose_place(directory, runtime);
  if (setup_.place.empty())
    return fail(ErrorCode::unsupported, "none of /mnt, /media, /srv, /opt, /tmp can be mounted over", "platform local");
  limits_problem_ =
      cgroups.problem.empty() ? "" : "Limits on memory, cpu and processes are not enforced: " + cgroups.problem;
  if (!limits_problem_.empty()) log_.warning("{}", limits_problem_);
  setup_.all_cgroup_roots = cgroups.roots;
  if (setup_.is_runc && !setup_.cgroup_v2 && !setup_.cgroup.empty()) {
    setup_.all_cgroup_roots.clear();
    for (const auto& name : names_in("/sys/fs/cgroup")) setup_.all_cgroup_roots.push_back("/sys/fs/cgroup/" + name);
  }
  place_ = {directory, setup_.cgroup, setup_.all_cgroup_roots};
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  shape_.first_uid = setup_.first_uid;
  shape_.first_gid = setup_.first_gid;
  shape_.ids = setup_.ids;
  shape_.root_apart = setup_.rootless;
  shape_.has_oom_file = !setup_.cgroup.empty();
  shape_.open_files = std::min<std::uint64_t>(files.rlim_max, 1u << 20);
  if (setup_.is_runc && !setup_.cgroup.empty())
    shape_.cgroups_path = setup_.cgroup + "/" + std::string(slot_placeholder);  // the launcher knows the slot
  for (Network n : {Network::none, Network::egress, Network::host})
    setup_.configs.push_back(container_config(n, shape_));  // by number
  return {};
}

// An ordinary user: root of a user namespace, as which that user's images were unpacked; builders get the same ids.
Result<void> LocalPlatform::set_up_rootless() {
  setup_.rootless = true;
  setup_.host_uid = geteuid();
  setup_.host_gid = getegid();
  MAYFLY_ASSIGN(const IdRange uids, subordinate_ids("/etc/subuid"));
  MAYFLY_ASSIGN(const IdRange gids, subordinate_ids("/etc/subgid"));
  setup_.sub_uid = uids.first;
  setup_.sub_gid = gids.first;
  setup_.sub_count = std::min({uids.count, gids.count, mapped_ids});
  setup_.first_uid = setup_.first_gid = 0;
  setup_.ids = setup_.sub_count + 1;
  return {};
}

// Started anew if it died: builders that run do not need it.
Result<std::shared_ptr<LauncherClient>> LocalPlatform::launcher() {
  const std::lock_guard lock(mutex_);
  if (launcher_ && launcher_->alive()) return launcher_;
  if (launcher_) log_.warning("the launcher ended unexpectedly; starting another");
  launcher_.reset();
  MAYFLY_ASSIGN(std::unique_ptr<LauncherClient> started,
                LauncherClient::start(options_.directory + "/launcher", setup_));
  launcher_ = std::move(started);
  return launcher_;
}

PlatformHealth LocalPlatform::health() {
  PlatformHealth health;
  const auto space = os::disk_space(options_.directory);
  if (space && space->free < options_.min_free_disk) {
    health.accepts_builders = false;
    health.disk_full = true;
    health.problem = "the disk of " + options_.directory + " is full: " + format_bytes(space->free) + " free, " +
                     format_bytes(options_.min_free_disk) + " needed";
  }
  return health;
}

Result<PlatformImage> LocalPlatform::prepare(const std::string& reference, Deadline deadline) {
  auto image = images_.prepare(reference, deadline);
  // What an earlier daemon's builders started from is not known.
  if (std::none_of(adopted_.begin(), adopted_.end(), [this](const auto& id) { return is_alive(place_, id); }))
    images_.sweep_if_grown();
  return image;
}

std::string LocalPlatform::agent_address(const BuilderId& id) const { return place_.directory(id) + agent_socket; }

Result<void> LocalPlatform::launch(const BuilderRequest& request, Deadline deadline) {
  if (!is_dns_label(request.id)) return fail(ErrorCode::invalid, "a builder's id must be a DNS label", request.id);
  if (is_alive(place_, request.id)) return {};
  if (access(place_.directory(request.id).c_str(), F_OK) == 0) MAYFLY_TRY(stop(request.id, deadline));
  auto launched = launch_anew(request, deadline);
  if (launched) return launched;
  // Whatever got done is undone; should even that fail, the directory stays and list() shows it.
  if (auto removed = stop(request.id, after(seconds(5))); !removed)
    log_.warning("after a failed launch: {}", removed.error().text());
  return launched;
}

LaunchOrder LocalPlatform::order_for(const BuilderRequest& request, std::vector<std::string> layers) const {
  LaunchOrder order;
  order.id = request.id;
  order.directory = place_.directory(request.id);
  order.lowers = std::move(layers);
  order.shared = request.layers;
  const std::string resolv =
      request.network == Network::host ? os::read_file("/etc/resolv.conf", resolv_limit).value_or("") : "";
  order.files = container_files(request, resolv);
  order.disk = request.limits.disk;
  order.memory = request.limits.memory;
  order.cpu_micros = static_cast<std::int64_t>(request.limits.cpu * 100'000);
  order.pids = request.limits.pids;
  order.network = request.network;
  return order;
}

Result<void> LocalPlatform::launch_anew(const BuilderRequest& request, Deadline deadline) {
  MAYFLY_ASSIGN(auto layers, LocalImages::layers_of(request.image));
  images_.started(request.id, layers);
  MAYFLY_ASSIGN(const auto launcher_in_use, launcher());
  LaunchOrder order = order_for(request, std::move(layers));
  auto launched = launcher_in_use->launch(std::move(order), deadline);
  if (!launched) launcher_in_use->cancel(request.id);
  return launched;
}

Result<void> LocalPlatform::stop(const BuilderId& id, Deadline deadline) {
  if (!is_dns_label(id)) return fail(ErrorCode::invalid, "a builder's id must be a DNS label", id);
  auto removed = remove_builder(place_, id, deadline);
  if (removed) images_.ended(id);
  return removed;
}

Result<std::vector<SeenBuilder>> LocalPlatform::list(Deadline) {
  std::vector<SeenBuilder> seen;
  for (const auto& id : names_in(options_.directory + "/b")) seen.push_back({id, is_alive(place_, id)});
  return seen;
}

}  // namespace mayfly::local
