#include "images/workshop.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <filesystem>

#include <fmt/format.h>

#include "base/text.h"
#include "images/build_script.h"
#include "images/buildah_tool.h"
#include "images/digest.h"
#include "images/docker_engine.h"
#include "images/examine.h"
#include "images/registry.h"
#include "images/target_platforms.h"
#include "os/file.h"
#include "os/process.h"

namespace mayfly {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t shown_log = 64u << 10;
constexpr std::size_t max_stopped = 10'000;

// In namespaces of its own a build leaves neither processes nor mounts when it is killed; and it is, when the daemon
// is: the next one begins it anew, in the same place.
constexpr const char* alone[] = {"setpriv", "--pdeathsig",  "KILL",   "unshare",      "--mount",
                                 "--pid",   "--mount-proc", "--fork", "--kill-child", "--"};

Result<void> clear(const std::string& directory) {
  for (const char* name : {"/out", "/context", "/context.tar", "/recipe.tar", "/storage", "/image.tar"})
    MAYFLY_TRY(os::remove_tree(directory + name));
  return {};
}

std::string candidate(const BuildOrder& order) {
  return fmt::format("localhost/mayfly/{}:build-{}", order.image.name, order.id);
}

// A file at a tar's top; empty where there is none.
Result<std::string> read_from_tar(const std::string& tar, const std::string& wanted) {
  std::string text;
  MAYFLY_TRY(walk_tar(tar, [&](archive* a, archive_entry* entry) -> Result<void> {
    const char* name = archive_entry_pathname(entry);
    if (!name || name != wanted) return {};
    text.resize(static_cast<std::size_t>(std::clamp<la_int64_t>(archive_entry_size(entry), 0, 1 << 20)));
    auto n = archive_read_data(a, text.data(), text.size());
    text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
    return {};
  }));
  return text;
}

// The end of a log that may be long.
std::string tail_of(const std::string& path) {
  std::error_code ec;
  auto size = fs::file_size(path, ec);
  auto text = ec ? Result<std::string>("") : os::read_file(path, static_cast<std::size_t>(size) + 1);
  if (!text) return "";
  return text->size() > shown_log ? text->substr(text->size() - shown_log) : *text;
}

// Every platform's image. The size, and its growth, is that of this host's.
Result<Examination> examine_several(const BuiltLayout& layout, const BuildOrder& order, std::int64_t bytes_before) {
  Examination all;
  Sha256 fingerprint;
  for (const auto& platform : order.image.platforms) {
    const bool own = platform == images::host_platform();
    MAYFLY_ASSIGN(auto image, layout.image(images::platform_name(platform)));
    MAYFLY_ASSIGN(auto seen, examine_image(image, order.image, order.secrets, own ? bytes_before : 0));
    if (own) all.bytes = seen.bytes;
    for (auto& f : seen.findings) all.findings.push_back({f.error, f.check, platform + ": " + f.what});
    for (const auto& part : {platform, seen.fingerprint}) fingerprint.part(part);
  }
  all.fingerprint = fingerprint.hex();
  return all;
}

}  // namespace

Workshop::Workshop(const std::string& directory) : git_(directory + "/git"), layers_(directory + "/layers") {}

// Builders bind it as soon as they start, whether it has anything in it yet or not.
std::string Workshop::layers() const {
  auto root = layers_.root();
  return os::make_directories(root) ? root : "";
}

Result<RecipeAt> Workshop::resolve(const ImageSpec& image, const std::string& ref, Deadline deadline) {
  return git_.resolve(image, ref, deadline);
}
Result<std::vector<RefAt>> Workshop::refs(const ImageSpec& image, Deadline deadline) {
  return git_.refs(image, deadline);
}
Result<std::string> Workshop::messages(const ImageSpec& image, const std::string& since, const std::string& until,
                                       Deadline deadline) {
  return git_.messages(image, since, until, deadline);
}
Result<void> Workshop::pack(const ImageSpec& image, const std::string& commit, const std::string& tar,
                            Deadline deadline) {
  return git_.pack(image, commit, tar, deadline);
}

Result<std::string> Workshop::base_digest(const std::string& base, Deadline deadline) {
  MAYFLY_ASSIGN(auto manifest, images::read_manifest("docker://" + base, deadline));
  return images::sha256_digest(manifest);
}

Result<void> Workshop::make_bases_ready(const BuildOrder& order, Deadline deadline) {
  if (images::is_for_several(order.image))
    MAYFLY_TRY(images::check_platforms(order.image, order.recipe, images::host_platform(), images::emulated_here()));
  MAYFLY_TRY(layers_.ensure(deadline));
  for (const auto& base : order.recipe.bases) MAYFLY_TRY(layers_.add_base(base, deadline));
  return {};
}

Result<std::string> Workshop::unpack_context(const BuildOrder& order, Deadline deadline) {
  auto context = order.directory + "/context", tar = context + ".tar";
  MAYFLY_TRY(git_.pack(order.image, order.recipe.commit, tar, deadline));
  MAYFLY_TRY(os::make_directories(context));
  MAYFLY_ASSIGN(auto unpacked, os::run({.argv = {"tar", "-xf", tar, "-C", context}, .deadline = deadline}));
  if (unpacked.ok()) return context;
  return fail(ErrorCode::unavailable, "the recipe cannot be unpacked: " + unpacked.err, context);
}

Result<BuiltImage> Workshop::build(const BuildOrder& order, Deadline deadline) {
  auto stop = std::make_shared<os::StopSignal>();
  {
    const std::lock_guard lock(mutex_);
    if (ended_ || stopped_.erase(order.id) > 0)
      return fail(ErrorCode::unavailable, "it was stopped before it began", fmt::format("build {}", order.id));
    running_[order.id] = stop;
  }
  auto image = [&]() -> Result<BuiltImage> {
    // Overlays' work directories are without any permission, which remove_tree() of root does not mind.
    MAYFLY_TRY(clear(order.directory));
    return order.image.docker.url.empty() ? build_here(order, *stop, deadline)
                                          : build_by_engine(order, *stop, deadline);
  }();
  {
    const std::lock_guard lock(mutex_);
    running_.erase(order.id);
  }
  if (stop->raised()) (void)clear(order.directory);
  return image;
}

void Workshop::stop(BuildId id) {
  const std::lock_guard lock(mutex_);
  if (auto found = running_.find(id); found != running_.end()) return found->second->raise();
  if (stopped_.size() >= max_stopped) stopped_.erase(stopped_.begin());
  stopped_.insert(id);
}

void Workshop::stop_all() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  for (auto& [id, stop] : running_) stop->raise();
}

Result<BuiltImage> Workshop::build_here(const BuildOrder& order, const os::StopSignal& stop, Deadline deadline) {
  MAYFLY_TRY(make_bases_ready(order, deadline));
  const std::string storage = order.directory + "/storage", out = order.directory + "/out",
                    log = order.directory + "/log";
  for (const auto& d : {storage, out}) MAYFLY_TRY(os::make_directories(d));
  MAYFLY_ASSIGN(auto context, unpack_context(order, deadline));
  os::Command command;
  command.argv = {"/bin/sh",
                  "-c",
                  "exec /bin/sh -c \"$1\" >>\"$2\" 2>&1",
                  "sh",
                  build_script(order, {storage, layers_.root(), out}),
                  log};
  if (::geteuid() == 0) command.argv.insert(command.argv.begin(), std::begin(alone), std::end(alone));
  for (const auto& [name, value] : order.secrets) command.env.push_back(secret_variable(name) + "=" + value);
  command.directory = context;
  command.deadline = deadline;
  command.stop = &stop;
  auto done = os::run(command);
  (void)os::remove_tree(storage);
  if (!done) return Unexpected(done.error());
  if (!done->ok()) return Unexpected(failure(order, log));
  auto image = collect(order, deadline);
  (void)os::remove_tree(context);
  return image;
}

// What another machine built comes into the same layout as what is built here; all that follows is the same.
Result<BuiltImage> Workshop::build_by_engine(const BuildOrder& order, const os::StopSignal& stop, Deadline deadline) {
  const std::string archived = order.directory + "/recipe.tar", context = order.directory + "/context.tar",
                    saved = order.directory + "/image.tar", out = order.directory + "/out",
                    log = order.directory + "/log";
  MAYFLY_TRY(os::make_directories(out));
  MAYFLY_TRY(git_.pack(order.image, order.recipe.commit, archived, deadline));
  MAYFLY_ASSIGN(auto ignored, read_from_tar(archived, ".dockerignore"));
  MAYFLY_TRY(images::make_docker_context(archived, images::Ignore(ignored), order.recipe.at, context));
  (void)os::remove_tree(archived);
  const images::DockerBuild engine{order, stop, deadline};
  const auto tag = candidate(order);
  if (auto done = engine.run(context, tag, log); !done) {
    if (done.error().code != ErrorCode::invalid) return Unexpected(done.error());
    return Unexpected(failure(order, log));
  }
  MAYFLY_TRY(engine.fetch(tag, saved));
  engine.remove(tag);
  auto argv = skopeo_command("copy");
  const auto& platforms = order.image.platforms;
  if (!platforms.empty()) argv.insert(argv.begin() + 1, "--override-os=" + split(platforms.front(), '/').front());
  argv.insert(argv.end(), {"--quiet", "--format", "oci", "docker-archive:" + saved, "oci:" + out + "/image:final"});
  MAYFLY_ASSIGN(auto copied, os::run({.argv = argv, .deadline = deadline, .stop = &stop}));
  if (!copied.ok())
    return fail(ErrorCode::unavailable, "what the Docker Engine built cannot be read: " + copied.last_error_line(),
                order.image.docker.url);
  (void)os::remove_tree(saved);
  (void)os::remove_tree(context);
  return collect(order, deadline);
}

Result<BuildJob> Workshop::prepare_job(const BuildOrder& order, Deadline deadline) {
  MAYFLY_TRY(make_bases_ready(order, deadline));
  return BuildJob{builder_script(order), builder_output};
}

Result<BuiltImage> Workshop::take_in(const BuildOrder& order, const std::string& output_tar, Deadline deadline) {
  MAYFLY_TRY(unpack_layout(output_tar, order.directory + "/out"));
  return collect(order, deadline);
}

Error Workshop::failure(const BuildOrder& order, const std::string& log) {
  return build_error(order.image.name,
                     fmt::format("{} at {}", order.recipe.dockerfile, order.recipe.commit.substr(0, 12)),
                     order.recipe.text, tail_of(log));
}

// From the build's output into this host's storage, where platforms find it.
Result<BuiltImage> Workshop::collect(const BuildOrder& order, Deadline deadline) {
  const std::string out = order.directory + "/out";
  if (auto known = os::read_file(out + "/known", 200)) {
    MAYFLY_ASSIGN(auto released, layers_.recall(std::string(trim(*known))));
    return BuiltImage{released.digest, released.reference};
  }
  if (images::is_for_several(order.image)) {
    // Storage takes one platform's image for a name: so the layout itself is the candidate, and stays.
    MAYFLY_ASSIGN(auto index, images::make_index(images::OciLayout(out + "/image"), order.image.platforms));
    return BuiltImage{index.digest, "oci:" + out + "/image:final"};
  }
  MAYFLY_ASSIGN(auto digest, BuiltLayout(out + "/image").digest("final"));
  auto argv = skopeo_command("copy");
  argv.insert(argv.end(), {"--quiet", "oci:" + out + "/image:final", "containers-storage:" + candidate(order)});
  MAYFLY_ASSIGN(auto copied, os::run({.argv = argv, .deadline = deadline}));
  if (!copied.ok())
    return fail(ErrorCode::unavailable, "the image cannot be stored: " + copied.last_error_line(), candidate(order));
  return BuiltImage{digest, candidate(order)};
}

Result<Examination> Workshop::examine(const BuildOrder& order, std::int64_t bytes_before, Deadline) {
  const BuiltLayout layout(order.directory + "/out/image");
  if (images::is_for_several(order.image)) return examine_several(layout, order, bytes_before);
  MAYFLY_ASSIGN(auto image, layout.image("final"));
  return examine_image(image, order.image, order.secrets, bytes_before);
}

Result<void> Workshop::offer(const BuildOrder& order, const BuiltImage& image, Deadline deadline) {
  MAYFLY_TRY(layers_.ensure(deadline));
  const std::string layout = order.directory + "/out/image";
  MAYFLY_TRY(layers_.add_image(layout, order.image.name, order.id, deadline));
  if (images::is_for_several(order.image)) return {};
  MAYFLY_ASSIGN(auto made, BuiltLayout(layout).image("final"));
  return layers_.remember(made.config_digest.substr(7), {image.digest, image.reference});
}

Result<void> Workshop::discard(const DiscardOrder& order, Deadline deadline) {
  MAYFLY_TRY(layers_.forget(order.id, order.built.reference, deadline));
  if (order.built.reference.starts_with("localhost/")) {
    MAYFLY_ASSIGN(auto there, digest_of("containers-storage:" + order.built.reference, deadline));
    if (there == order.built.digest) {  // else it is that of another daemon on this host, or gone
      MAYFLY_ASSIGN(auto gone, os::run({.argv = {"buildah", "rmi", order.built.reference}, .deadline = deadline}));
      if (!gone.ok())
        return fail(ErrorCode::unavailable, "the image cannot be removed: " + gone.last_error_line(),
                    order.built.reference);
    }
  }
  return clear(order.directory);
}

}  // namespace mayfly
