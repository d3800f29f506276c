#include "images/workshop.h"

#include <filesystem>

#include <fmt/format.h>

#include "base/text.h"
#include "images/build_script.h"
#include "images/buildah_tool.h"
#include "images/examine.h"
#include "os/file.h"
#include "os/process.h"

namespace mayfly {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t shown_log = 64u << 10;

std::string candidate(const BuildOrder& order) {
  return fmt::format("localhost/mayfly/{}:build-{}", order.image.name, order.id);
}

// The end of a log that may be long.
std::string tail_of(const std::string& path) {
  std::error_code ec;
  auto size = fs::file_size(path, ec);
  auto text = ec ? Result<std::string>("") : os::read_file(path, static_cast<std::size_t>(size) + 1);
  if (!text) return "";
  return text->size() > shown_log ? text->substr(text->size() - shown_log) : *text;
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
Result<void> Workshop::pack(const ImageSpec& image, const std::string& commit, const std::string& tar,
                            Deadline deadline) {
  return git_.pack(image, commit, tar, deadline);
}

Result<void> Workshop::make_bases_ready(const BuildOrder& order, Deadline deadline) {
  MAYFLY_TRY(layers_.ensure(deadline));
  for (const auto& base : order.recipe.bases) MAYFLY_TRY(layers_.add_base(base, deadline));
  return {};
}

Result<BuiltImage> Workshop::build(const BuildOrder& order, Deadline deadline) {
  MAYFLY_TRY(make_bases_ready(order, deadline));
  const std::string context = order.directory + "/context", storage = order.directory + "/storage",
                    out = order.directory + "/out", log = order.directory + "/log";
  for (const auto& d : {context, storage, out}) {
    // Overlays' work directories are without any permission, which remove_tree() of root does not mind.
    MAYFLY_TRY(os::remove_tree(d));
    MAYFLY_TRY(os::make_directories(d));
  }
  auto tar = order.directory + "/context.tar";
  MAYFLY_TRY(git_.pack(order.image, order.recipe.commit, tar, deadline));
  MAYFLY_ASSIGN(auto unpacked, os::run({.argv = {"tar", "-xf", tar, "-C", context}, .deadline = deadline}));
  if (!unpacked.ok()) return fail(ErrorCode::unavailable, "the recipe cannot be unpacked: " + unpacked.err, context);
  os::Command command;
  command.argv = {"/bin/sh",
                  "-c",
                  "exec /bin/sh -c \"$1\" >>\"$2\" 2>&1",
                  "sh",
                  build_script(order, {storage, layers_.root(), out}),
                  log};
  for (const auto& [name, value] : order.secrets) command.env.push_back(secret_variable(name) + "=" + value);
  command.directory = context;
  command.deadline = deadline;
  auto done = os::run(command);
  (void)os::remove_tree(storage);
  if (!done) return Unexpected(done.error());
  if (!done->ok()) return Unexpected(failure(order, log));
  auto image = collect(order, deadline);
  (void)os::remove_tree(context);
  return image;
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
  MAYFLY_ASSIGN(auto digest, BuiltLayout(out + "/image").digest("final"));
  auto argv = skopeo_command("copy");
  argv.insert(argv.end(), {"--quiet", "oci:" + out + "/image:final", "containers-storage:" + candidate(order)});
  MAYFLY_ASSIGN(auto copied, os::run({.argv = argv, .deadline = deadline}));
  if (!copied.ok())
    return fail(ErrorCode::unavailable, "the image cannot be stored: " + copied.last_error_line(), candidate(order));
  return BuiltImage{digest, candidate(order)};
}

Result<Examination> Workshop::examine(const BuildOrder& order, std::int64_t bytes_before, Deadline) {
  MAYFLY_ASSIGN(auto image, BuiltLayout(order.directory + "/out/image").image("final"));
  return examine_image(image, order.image, order.secrets, bytes_before);
}

Result<void> Workshop::offer(const BuildOrder& order, const BuiltImage& image, Deadline deadline) {
  MAYFLY_TRY(layers_.ensure(deadline));
  const std::string layout = order.directory + "/out/image";
  auto name = fmt::format("localhost/mayfly/{}:latest", order.image.name);
  MAYFLY_TRY(layers_.add_image(layout, name, deadline));
  MAYFLY_ASSIGN(auto made, BuiltLayout(layout).image("final"));
  return layers_.remember(made.config_digest.substr(7), {image.digest, image.reference});
}

}  // namespace mayfly
