#include "images/git.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "base/text.h"
#include "images/containerfile.h"
#include "images/digest.h"
#include "os/file.h"
#include "os/process.h"

namespace mayfly {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t max_dockerfile = 1u << 20;
constexpr std::size_t max_refs = 2000;
constexpr std::size_t max_message = 8000, max_authors = 50, max_messages = 1000;
constexpr std::string_view heads = "refs/heads/";

std::string content_of(const std::string& tree, const ImageSpec& image) {
  std::string text = tree;
  for (const auto& [key, value] : image.args)
    text += fmt::format("\n{}:{}={}:{}", key.size(), key, value.size(), value);
  for (const auto& platform : image.platforms) text += "\nplatform:" + platform;
  return sha256_hex(text);
}

std::string short_name(const std::string& ref) { return ref.starts_with(heads) ? ref.substr(heads.size()) : ref; }

}  // namespace

std::vector<std::string> Git::environment() const {
  return {"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=" + directory_ + "/config", "LC_ALL=C.UTF-8"};
}

std::mutex& Git::mutex_of(const std::string& mirror) {
  const std::lock_guard lock(mutex_);
  auto& m = mirrors_[mirror];
  if (!m) m = std::make_unique<std::mutex>();
  return *m;
}

Result<std::string> Git::run(const Place& place, std::vector<std::string> arguments, Deadline deadline) {
  std::vector<std::string> argv{"git", "--git-dir", place.mirror};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  MAYFLY_ASSIGN(auto done, os::run({.argv = argv, .env = environment(), .deadline = deadline}));
  if (!done.ok()) return fail(ErrorCode::unavailable, "git says: " + done.last_error_line(), place.repository);
  return std::move(done.out);
}

// Without `repository:` it is the one that the recipe's folder lies in, asked only for where its root is.
Result<Git::Place> Git::place_of(const ImageSpec& image, Deadline deadline) {
  Place p;
  MAYFLY_TRY(os::make_directories(directory_));
  if (!fs::exists(directory_ + "/config"))
    MAYFLY_TRY(os::write_file_atomically(
        directory_ + "/config", "[include]\n\tpath = ~/.gitconfig\n[safe]\n\tdirectory = *\n[gc]\n\tauto = 0\n"));
  if (!image.repository.empty()) {
    p.repository = image.repository;
    p.folder = image.recipe;
  } else {
    auto asked = os::run({.argv = {"git", "-C", image.recipe, "rev-parse", "--show-toplevel", "--show-prefix"},
                          .env = environment(),
                          .deadline = deadline});
    if (!asked) return Unexpected(asked.error());
    auto lines = split(asked->out, '\n');
    if (!asked->ok() || lines.size() < 2)
      return fail(ErrorCode::invalid, fmt::format("the recipe of image '{}' is not in a git repository", image.name),
                  image.recipe, "Commit it to one, or name one under `repository:`.");
    p.repository = lines[0];
    p.folder = lines[1];
  }
  while (p.folder.ends_with("/")) p.folder.pop_back();
  p.mirror = directory_ + "/" + sha256_hex(p.repository).substr(0, 16) + ".git";
  return p;
}

Result<void> Git::set_up(const Place& place, Deadline deadline) {
  if (fs::exists(place.mirror + "/HEAD")) return {};
  MAYFLY_ASSIGN(auto made, os::run({.argv = {"git", "init", "--quiet", "--bare", "--template=", place.mirror},
                                    .env = environment(),
                                    .deadline = deadline}));
  if (!made.ok())
    return fail(ErrorCode::unavailable, "git cannot make a mirror: " + made.last_error_line(), place.mirror);
  return {};
}

Result<void> Git::fetch(const Place& place, Deadline deadline) {
  const std::lock_guard lock(mutex_of(place.mirror));
  MAYFLY_TRY(set_up(place, deadline));
  auto fetched =
      run(place,
          {"fetch", "--quiet", "--prune", "--force", "--no-tags", "--no-write-fetch-head", "--", place.repository,
           "+refs/heads/*:refs/heads/*", "+refs/pull/*:refs/pull/*", "+refs/merge-requests/*:refs/merge-requests/*"},
          deadline);
  if (fetched) return {};
  Error e = fetched.error();
  e.what = "the repository cannot be fetched; " + e.what;
  e.next = "Check its address, and that the daemon's user may read it.";
  return Unexpected(std::move(e));
}

Result<std::string> Git::commit_of(const Place& place, const std::string& ref, Deadline deadline) {
  if (!ref.starts_with("-"))
    for (const auto& name : {std::string(heads) + ref, "refs/" + ref, ref}) {
      auto found = run(place, {"rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}"}, deadline);
      if (found) return std::string(trim(*found));
    }
  return fail(ErrorCode::not_found, fmt::format("there is no branch, proposed change or commit '{}'", ref),
              place.repository, "Push it first.");
}

Result<std::string> Git::tree_of(const Place& place, const std::string& commit, Deadline deadline) {
  auto found =
      run(place, {"rev-parse", "--verify", "--quiet", "--end-of-options", commit + ":" + place.folder}, deadline);
  if (found) return std::string(trim(*found));
  return fail(ErrorCode::not_found, fmt::format("commit {} has no folder '{}'", commit.substr(0, 12), place.folder),
              place.repository, "Commit the recipe, or set `recipe:` to its folder.");
}

// The authors are those of what the branch would add; of the branch itself, that of its newest commit.
Result<void> Git::read_history(const Place& place, const ImageSpec& image, RecipeAt& recipe, Deadline deadline) {
  auto folder = place.folder.empty() ? "." : place.folder;
  MAYFLY_ASSIGN(auto last,
                run(place, {"log", "-1", "--format=%ct%n%an <%ae>%n%B", recipe.commit, "--", folder}, deadline));
  auto first = last.find('\n'), second = last.find('\n', first + 1);
  if (first == std::string::npos || second == std::string::npos)
    return fail(ErrorCode::unavailable, "git log does not say who changed the recipe", place.repository);
  recipe.at = from_micros(std::atoll(last.substr(0, first).c_str()) * 1'000'000);
  recipe.authors = {last.substr(first + 1, second - first - 1)};
  recipe.message = std::string(trim(last.substr(second + 1, max_message)));
  // What a merge says, and each commit that it brought: where the level of the release may be declared, too.
  auto merge =
      run(place, {"log", "-1", "--first-parent", "-m", "--format=%H %P", recipe.commit, "--", folder}, deadline);
  auto hashes = merge ? split(std::string(trim(*merge)), ' ') : std::vector<std::string>();
  if (hashes.size() > 2) {
    MAYFLY_ASSIGN(auto brought, run(place,
                                    {"log", fmt::format("-{}", max_authors), "--full-history", "--format=%n%B",
                                     fmt::format("{}..{}", hashes[1], hashes[0]), "--", folder},
                                    deadline));
    recipe.message = (recipe.message + "\n" + brought).substr(0, max_message);
  }
  auto added = run(place,
                   {"log", fmt::format("-{}", max_authors), "--format=%an <%ae>",
                    fmt::format("{}{}..{}", heads, image.branch, recipe.commit), "--", folder},
                   deadline);
  if (!added) return {};  // no such branch yet
  for (const auto& line : split(*added, '\n'))
    if (!line.empty() && std::find(recipe.authors.begin(), recipe.authors.end(), line) == recipe.authors.end())
      recipe.authors.push_back(line);
  return {};
}

Result<RecipeAt> Git::resolve(const ImageSpec& image, const std::string& ref, Deadline deadline) {
  MAYFLY_ASSIGN(const Place place, place_of(image, deadline));
  MAYFLY_TRY(fetch(place, deadline));
  RecipeAt r;
  auto name = ref.empty() ? image.branch : ref;
  MAYFLY_ASSIGN(r.commit, commit_of(place, name, deadline));
  MAYFLY_ASSIGN(auto tree, tree_of(place, r.commit, deadline));
  r.content = content_of(tree, image);
  r.release = short_name(name) == image.branch;
  MAYFLY_TRY(read_history(place, image, r, deadline));
  for (const char* file : {"Dockerfile", "Containerfile"}) {
    auto text = run(place, {"cat-file", "blob", fmt::format("{}:{}", tree, file)}, deadline);
    if (!text || text->size() > max_dockerfile) continue;
    auto where =
        fmt::format("{}{}{} at {}", place.folder, place.folder.empty() ? "" : "/", file, r.commit.substr(0, 12));
    MAYFLY_ASSIGN(auto read, read_containerfile(*text, where, image.args));
    r.bases = read.bases;
    r.dockerfile = file;
    r.text = std::move(*text);
    return r;
  }
  return fail(ErrorCode::not_found,
              fmt::format("commit {} has neither a Dockerfile nor a Containerfile in '{}'", r.commit.substr(0, 12),
                          place.folder),
              place.repository);
}

// Every commit that changed the folder, and what the merges say that brought one: git leaves these out of a folder's
// history where the folder is as on one of their sides.
Result<std::string> Git::messages(const ImageSpec& image, const std::string& since, const std::string& until,
                                  Deadline deadline) {
  MAYFLY_ASSIGN(const Place place, place_of(image, deadline));
  const auto folder = place.folder.empty() ? "." : place.folder, range = since + ".." + until;
  const auto limit = fmt::format("-{}", max_messages);
  MAYFLY_ASSIGN(auto own, run(place, {"log", limit, "--full-history", "--format=%n%B", range, "--", folder}, deadline));
  MAYFLY_ASSIGN(auto merged,
                run(place, {"log", limit, "--first-parent", "-m", "--format=%n%B", range, "--", folder}, deadline));
  return own + merged;
}

Result<std::vector<RefAt>> Git::refs(const ImageSpec& image, Deadline deadline) {
  MAYFLY_ASSIGN(const Place place, place_of(image, deadline));
  MAYFLY_TRY(fetch(place, deadline));
  MAYFLY_ASSIGN(auto list,
                run(place, {"for-each-ref", fmt::format("--count={}", max_refs), "--format=%(refname)"}, deadline));
  std::vector<RefAt> out;
  for (const auto& ref : split(list, '\n')) {
    if (ref.empty() || ref.ends_with("/merge")) continue;  // a host's trial merges
    auto tree = tree_of(place, ref, deadline);
    out.push_back({short_name(ref), tree ? content_of(*tree, image) : "", short_name(ref) == image.branch});
  }
  return out;
}

Result<void> Git::pack(const ImageSpec& image, const std::string& commit, const std::string& tar, Deadline deadline) {
  MAYFLY_ASSIGN(const Place place, place_of(image, deadline));
  MAYFLY_ASSIGN(auto tree, tree_of(place, commit, deadline));
  auto part = tar + ".part";
  MAYFLY_TRY(run(place, {"archive", "--format=tar", "--output=" + part, tree}, deadline));
  std::error_code ec;
  fs::rename(part, tar, ec);
  if (ec) return fail(ErrorCode::unavailable, "cannot be renamed: " + ec.message(), part);
  return {};
}

}  // namespace mayfly
