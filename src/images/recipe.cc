#include "images/recipe.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <vector>

#include <fmt/format.h>

#include "images/digest.h"

namespace mayfly {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t max_files = 100'000;
constexpr std::uintmax_t max_bytes = 4ull << 30;

Result<void> add_file(Sha256& hash, const fs::path& path, std::uintmax_t size) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorCode::denied, "cannot be read", path.string());
  hash.bytes(fmt::format("{}:", size));
  std::array<char, 65536> buffer;
  while (in.read(buffer.data(), buffer.size()) || in.gcount() > 0)
    hash.bytes({buffer.data(), static_cast<std::size_t>(in.gcount())});
  return {};
}

Result<void> add_tree(Sha256& hash, const fs::path& root) {
  std::error_code ec;
  std::vector<fs::path> paths;
  for (fs::recursive_directory_iterator it(root, ec), end; it != end; it.increment(ec)) {
    if (ec) break;
    paths.push_back(it->path());
    if (paths.size() > max_files)
      return fail(ErrorCode::exhausted, fmt::format("the recipe has more than {} files", max_files), root.string());
  }
  if (ec) return fail(ErrorCode::denied, "cannot be read: " + ec.message(), root.string());
  std::sort(paths.begin(), paths.end());
  std::uintmax_t total = 0;
  for (const auto& path : paths) {
    struct stat info{};
    if (::lstat(path.c_str(), &info) != 0) return Unexpected(errno_error("cannot be read", errno, path.string()));
    hash.part(path.lexically_relative(root).string());
    hash.part(fmt::format("{:o}", info.st_mode));
    if (S_ISLNK(info.st_mode)) hash.part(fs::read_symlink(path, ec).string());
    if (!S_ISREG(info.st_mode)) continue;
    total += static_cast<std::uintmax_t>(info.st_size);
    if (total > max_bytes) return fail(ErrorCode::exhausted, "the recipe is larger than 4 GiB", root.string());
    MAYFLY_TRY(add_file(hash, path, static_cast<std::uintmax_t>(info.st_size)));
  }
  return {};
}

}  // namespace

Result<Recipe> read_recipe(const ImageSpec& image) {
  Recipe r;
  r.folder = image.recipe;
  std::error_code ec;
  if (!fs::is_directory(r.folder, ec))
    return fail(ErrorCode::not_found, fmt::format("the recipe of image '{}' is not a folder", image.name), r.folder,
                "Set `recipe:` to the folder that holds its Dockerfile.");
  for (const char* name : {"Dockerfile", "Containerfile"})
    if (r.dockerfile.empty() && fs::exists(fs::path(r.folder) / name, ec)) r.dockerfile = r.folder + "/" + name;
  if (r.dockerfile.empty())
    return fail(ErrorCode::not_found,
                fmt::format("the recipe of image '{}' has neither a Dockerfile nor a Containerfile", image.name),
                r.folder);
  Sha256 hash;
  for (const auto& [key, value] : image.args) {
    hash.part(key);
    hash.part(value);
  }
  MAYFLY_TRY(add_tree(hash, r.folder));
  r.content = hash.hex();
  return r;
}

}  // namespace mayfly
