#include "images/target_platforms.h"

#include <sys/utsname.h>

#include <algorithm>
#include <filesystem>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "base/text.h"
#include "images/containerfile.h"
#include "model/json.h"
#include "os/file.h"

namespace mayfly::images {

namespace fs = std::filesystem;
namespace json = boost::json;

namespace {

// Names of an architecture: in a platform, as uname says it, and the machine number in an ELF file's header (elf.h).
struct Architecture {
  std::string_view name, machine;
  int elf;
};
constexpr Architecture architectures[] = {
    {"amd64", "x86_64", 62},    {"arm64", "aarch64", 183},   {"arm", "armv7l", 40},  {"386", "i686", 3},
    {"ppc64le", "ppc64le", 21}, {"riscv64", "riscv64", 243}, {"s390x", "s390x", 22},
};
constexpr std::size_t elf_machine_at = 18, elf_order_at = 5;
constexpr int big_endian = 2;

std::string architecture_of(std::string_view platform) {
  auto parts = split(platform, '/');
  return parts.size() > 1 ? parts[1] : "";
}

// "7f454c46…": the byte at this place, or -1.
int byte_at(std::string_view hex, std::size_t at) {
  if (hex.size() < 2 * at + 2) return -1;
  auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  return digit(hex[2 * at]) * 16 + digit(hex[2 * at + 1]);
}

std::string line_after(const std::string& text, std::string_view key) {
  for (const auto& line : split(text, '\n'))
    if (line.starts_with(key)) return std::string(trim(std::string_view(line).substr(key.size())));
  return "";
}

Result<json::object> object_in(const OciLayout& layout, const std::string& digest) {
  MAYFLY_ASSIGN(auto text, layout.read(digest));
  boost::system::error_code ec;
  auto value = json::parse(text, ec);
  if (ec || !value.is_object()) return fail(ErrorCode::invalid, "it is not the JSON that an image has", digest);
  return std::move(value.get_object());
}

// What the image's configuration says it is for.
Result<json::object> platform_of(const OciLayout& layout, const Descriptor& image) {
  MAYFLY_ASSIGN(auto manifest, object_in(layout, image.digest));
  const auto* config = manifest.if_contains("config");
  if (!config || !config->is_object()) return fail(ErrorCode::invalid, "it names no configuration", image.digest);
  MAYFLY_ASSIGN(auto said, object_in(layout, text_at(config->get_object(), "digest")));
  json::object out;
  for (const char* key : {"os", "architecture", "variant", "os.version"})
    if (auto value = text_at(said, key); !value.empty()) out[key] = value;
  return out;
}

}  // namespace

std::string host_platform() {
  utsname name{};
  ::uname(&name);
  for (const auto& a : architectures)
    if (a.machine == name.machine) return fmt::format("linux/{}", a.name);
  return fmt::format("linux/{}", name.machine);
}

bool is_for_several(const ImageSpec& image) {
  return image.docker.url.empty() && !image.platforms.empty() &&
         (image.platforms.size() > 1 || image.platforms.front() != host_platform());
}

std::string platform_name(const std::string& platform) {
  std::string name = "final-" + platform;
  std::replace(name.begin(), name.end(), '/', '-');
  return name;
}

std::set<std::string> emulated(const std::vector<std::string>& entries) {
  std::set<std::string> out;
  for (const auto& text : entries) {
    auto magic = line_after(text, "magic "), flags = line_after(text, "flags:");
    // Without F the emulator is looked for in the container, where it is not.
    if (!text.starts_with("enabled") || flags.find('F') == std::string::npos) continue;
    int low = byte_at(magic, elf_machine_at), high = byte_at(magic, elf_machine_at + 1);
    if (byte_at(magic, elf_order_at) == big_endian) std::swap(low, high);
    for (const auto& a : architectures)
      if (low >= 0 && high >= 0 && a.elf == low + 256 * high) out.insert(std::string(a.name));
  }
  return out;
}

std::set<std::string> emulated_here() {
  std::vector<std::string> entries;
  std::error_code ec;
  for (fs::directory_iterator it("/proc/sys/fs/binfmt_misc", ec), end; !ec && it != end; it.increment(ec)) {
    auto name = it->path().filename();
    if (name == "register" || name == "status") continue;
    if (auto text = os::read_file(it->path(), 4096)) entries.push_back(*text);
  }
  return emulated(entries);
}

Result<void> check_platforms(const ImageSpec& image, const RecipeAt& recipe, const std::string& host,
                             const std::set<std::string>& emulated) {
  if (std::find(image.platforms.begin(), image.platforms.end(), host) == image.platforms.end())
    return fail(ErrorCode::invalid,
                fmt::format("image '{}' is built for {}, and this host is {}: nothing could be tried here", image.name,
                            join(image.platforms, ", "), host),
                "platforms", fmt::format("Add {} to its `platforms:`.", host));
  const auto where = fmt::format("{} at {}", recipe.dockerfile, recipe.commit.substr(0, 12));
  MAYFLY_ASSIGN(auto read, read_containerfile(recipe.text, where, image.args));
  if (read.runs == 0) return {};
  for (const auto& platform : image.platforms) {
    const auto architecture = architecture_of(platform);
    bool native = platform == host || (architecture == "386" && host == "linux/amd64");
    if (native || emulated.contains(architecture)) continue;
    return fail(
        ErrorCode::unsupported,
        fmt::format("the recipe runs programs of {}, which this host ({}) cannot:\n{}", platform, host,
                    excerpt(recipe.text, read.runs)),
        fmt::format("{}:{}", where, read.runs),
        "Install emulation (Debian: apt-get install qemu-user-static binfmt-support), or run them in a stage of "
        "their own, FROM --platform=$BUILDPLATFORM, and COPY their outcome.");
  }
  return {};
}

Result<Descriptor> make_index(const OciLayout& layout, const std::vector<std::string>& platforms) {
  json::array manifests;
  for (const auto& platform : platforms) {
    MAYFLY_ASSIGN(auto image, layout.find(platform_name(platform)));
    MAYFLY_ASSIGN(auto is_for, platform_of(layout, image));
    const auto name = fmt::format("{}/{}", text_at(is_for, "os"), text_at(is_for, "architecture"));
    if (platform != name && !platform.starts_with(name + "/"))
      return fail(ErrorCode::invalid, fmt::format("what was built for {} is for {}", platform, name), layout.folder(),
                  fmt::format("Build it FROM a base that there is for {}.", platform));
    auto entry = image.json();
    entry["platform"] = std::move(is_for);
    manifests.push_back(std::move(entry));
  }
  json::object index{{"schemaVersion", 2}, {"mediaType", index_type}, {"manifests", std::move(manifests)}};
  MAYFLY_ASSIGN(auto made, layout.add(json::serialize(index), index_type));
  MAYFLY_TRY(layout.set_name("final", made));
  return made;
}

}  // namespace mayfly::images
