#include "images/build_script.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "images/containerfile.h"
#include "images/target_platforms.h"
#include "os/skopeo.h"

namespace mayfly {
namespace {

std::string in_quotes(const std::string& text) { return shell_quote({text}); }

// Only then may plain HTTP do: it is for all registries of a build or for none.
bool all_on_loopback(const std::vector<std::string>& bases) {
  bool any = false;
  for (const auto& base : bases) {
    if (base.starts_with("localhost/")) continue;
    if (!os::is_loopback_registry("docker://" + base)) return false;
    any = true;
  }
  return any;
}

// The Dockerfile itself, or a copy with the lines that say which images exactly it is built on.
std::string dockerfile_of(const BuildOrder& order, const std::string& storage, std::string& script) {
  auto lines = pinned_lines(order.recipe.text, order.image.args, order.pinned);
  if (lines.empty()) return order.recipe.dockerfile;
  std::vector<std::string> argv{"sed"};
  for (const auto& [number, line] : lines) argv.insert(argv.end(), {"-e", fmt::format("{}c\\\n{}", number, line)});
  argv.push_back(order.recipe.dockerfile);
  auto file = storage + "/Dockerfile.pinned";
  script += shell_quote(argv) + " >" + in_quotes(file) + "\n";
  return file;
}

// The platform's own name is left out where it is this host's: bases in its storage may not say theirs.
std::string build_command(const BuildOrder& order, const std::string& storage, const std::string& platform,
                          const std::string& dockerfile) {
  // chroot isolation: needs no more privilege than unpacking does, and works inside containers.
  std::vector<std::string> argv{"buildah",     "build",
                                "--isolation", "chroot",
                                "--layers",    "--force-rm",
                                "--timestamp", std::to_string(to_micros(order.recipe.at) / 1'000'000),
                                "--iidfile",   storage + "/image-id",
                                "--file",      dockerfile};
  if (order.fresh) argv.emplace_back("--no-cache");
  // No registry has those of this host's own storage, which are put on offer as they are now.
  bool own = std::any_of(order.recipe.bases.begin(), order.recipe.bases.end(),
                         [](const std::string& base) { return base.starts_with("localhost/"); });
  if (order.fresh && !own) argv.emplace_back("--pull-always");
  if (all_on_loopback(order.recipe.bases)) argv.emplace_back("--tls-verify=false");
  if (!platform.empty()) argv.insert(argv.end(), {"--platform", platform});
  for (const auto& [key, value] : order.image.args) argv.insert(argv.end(), {"--build-arg", key + "=" + value});
  for (const auto& name : order.image.secrets)
    argv.insert(argv.end(), {"--secret", fmt::format("id={},env={}", name, secret_variable(name))});
  argv.emplace_back(".");
  return shell_quote(argv);
}

// The cached steps, but for what $id names already.
constexpr const char* steps = R"(number=0
for step in $(buildah images --all --quiet --no-trunc --filter readonly=false); do
  step=${step#sha256:}
  case " $id " in *" $step "*) continue ;; esac
  number=$((number + 1))
  buildah push --quiet --disable-compression "$step" "oci:$output/image:step-$number"
done
)";

// One platform after the other; the index over them is made where the output is taken in.
std::string several(const BuildOrder& order, const std::string& storage, const std::string& dockerfile) {
  // buildah before 1.30 does not fill these in.
  const std::string file = storage + "/Dockerfile";
  const std::string from = R"(s#^([[:space:]]*[Ff][Rr][Oo][Mm][[:space:]]+--platform=)[$]\{?BUILDPLATFORM\}?#\1)";
  std::string out = "id=\n" + shell_quote({"sed", "-E", from + images::host_platform() + "#", dockerfile}) + " >" +
                    in_quotes(file) + "\n";
  for (const auto& platform : order.image.platforms) {
    out += fmt::format("echo {}\n", in_quotes("mayfly: building for " + platform));
    out += build_command(order, storage, platform, file) + "\n";
    out += fmt::format(R"(one=$(cat "$storage/image-id") one=${{one#sha256:}} id="$id $one"
buildah push --quiet --disable-compression "$one" "oci:$output/image:{}"
)",
                       images::platform_name(platform));
  }
  return out;
}

}  // namespace

std::string build_script(const BuildOrder& order, const BuildScript& places) {
  std::string stores = places.layers.empty() ? "" : fmt::format("additionalimagestores = [\"{}\"]\n", places.layers);
  std::string out =
      fmt::format(R"(set -eu
storage={storage} layers={layers} output={output}
mkdir -p "$storage" "$output"
cat >"$storage/storage.conf" <<'CONF'
[storage]
driver = "overlay"
graphroot = "{plain}/root"
runroot = "{plain}/run"
[storage.options]
{stores}[storage.options.overlay]
skip_mount_home = "true"
CONF
export CONTAINERS_STORAGE_CONF="$storage/storage.conf"
# The same content gives the same layers, whenever it was checked out.
find . -exec touch -h -d @{at} {{}} +
)",
                  fmt::arg("storage", in_quotes(places.storage)), fmt::arg("layers", in_quotes(places.layers)),
                  fmt::arg("output", in_quotes(places.output)), fmt::arg("plain", places.storage),
                  fmt::arg("stores", stores), fmt::arg("at", to_micros(order.recipe.at) / 1'000'000));
  const auto dockerfile = dockerfile_of(order, places.storage, out);
  if (images::is_for_several(order.image)) return out + several(order, places.storage, dockerfile) + steps;
  out += build_command(order, places.storage, "", dockerfile) + "\n";
  // An image that is in the read-only store whole was released before: its id says all. Else the cached steps go along,
  // so that the next build finds them. A step that is there already is not moved again.
  out += R"(id=$(cat "$storage/image-id") id=${id#sha256:}
if [ -n "$layers" ] && grep -q "\"id\":\"$id\"" "$layers/overlay-images/images.json"; then
  echo "$id" >"$output/known"
  echo "mayfly: every step was cached; this image was released before"
  exit 0
fi
buildah push --quiet --disable-compression "$id" "oci:$output/image:final"
)";
  return out + steps;
}

std::string builder_script(const BuildOrder& order) {
  std::string out = fmt::format(R"(#!/bin/sh
set -eu
storage=/var/lib/containers
if [ "${{1:-}}" != inside ]; then
  ids=0
  while read -r _ _ count; do ids=$((ids + count)); done </proc/self/uid_map
  echo "root:0:$ids" >/etc/subuid
  echo "root:0:$ids" >/etc/subgid
  exec unshare --user --map-users="0,0,$ids" --map-groups="0,0,$ids" --setuid 0 --setgid 0 --mount /bin/sh "$0" inside
fi
# Overlays need a file system below them that is none itself.
mkdir -p "$storage"
mount -t tmpfs -o mode=0755 mayfly-build "$storage"
export _CONTAINERS_USERNS_CONFIGURED=done
layers={layers}
[ -e "$layers/overlay-images/images.json" ] || layers=
)",
                                fmt::arg("layers", layers_in_builder));
  // Without released layers the line that names them would be an error.
  out += "if [ -n \"$layers\" ]; then\n" +
         build_script(order, {"/var/lib/containers/build", layers_in_builder, builder_output}) + "else\n" +
         build_script(order, {"/var/lib/containers/build", "", builder_output}) + "fi\n";
  return out;
}

}  // namespace mayfly
