#include "images/examine.h"

#include <archive.h>
#include <archive_entry.h>
#include <fnmatch.h>

#include <algorithm>
#include <regex>
#include <set>

#include <boost/json.hpp>

#include <fmt/format.h>

#include "base/text.h"
#include "images/digest.h"
#include "images/layer_reader.h"
#include "model/json.h"
#include "ports/secret_store.h"

namespace mayfly {
namespace json = boost::json;
namespace {

constexpr std::size_t searched = 4u << 20;  // bytes of each file that are searched for secrets
constexpr std::size_t max_findings = 50;    // of each kind
constexpr std::size_t max_entries = 2'000'000;
constexpr std::int64_t growth_floor = 16ll << 20;  // a small image may double
constexpr int max_links = 40;

// Never in an image, whatever the recipe says.
const std::vector<std::string> always_forbidden{
    "root/.ssh/id_*",        "home/*/.ssh/id_*",        "root/.docker/config.json", "root/.aws/credentials",
    "root/.git-credentials", "home/*/.git-credentials", "run/secrets/?*",           "root/.kube/config"};
// Differ from build to build though nothing changed.
const std::vector<std::string> passing{
    "var/log/*", "var/cache/*", "var/lib/apt/lists/*", "tmp/*", "run/*", "*.pyc", "var/lib/dpkg/status-old",
    "etc/machine-id",
    // rpm writes down when each package was installed; their files tell what changed.
    "var/lib/rpm/*", "usr/lib/sysimage/rpm/*", "var/lib/dnf/*"};

struct File {
  std::string kind;  // "f", "d", "l", …
  unsigned mode = 0;
  std::int64_t size = 0, uid = 0, gid = 0;
  std::string content;  // digest of a file, target of a link
};

bool fits_any(const std::string& path, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    auto p = pattern.starts_with("/") ? pattern.substr(1) : pattern;
    return fnmatch(p.c_str(), path.c_str(), 0) == 0;
  });
}

std::string clean(std::string path) {
  while (path.starts_with("./") || path.starts_with("/")) path.erase(0, path.find('/') + 1);
  while (path.ends_with("/")) path.pop_back();
  return path == "." ? "" : path;
}

std::vector<std::string> texts_at(const json::object& o, std::string_view key) {
  std::vector<std::string> out;
  if (const auto* v = o.if_contains(key); v && v->is_array())
    for (const auto& e : v->get_array())
      if (e.is_string()) out.emplace_back(e.get_string());
  return out;
}

class Examiner {
 public:
  Examiner(const ImageSpec& spec, const std::map<std::string, std::string>& secrets) : spec_(spec) {
    for (const auto& [name, value] : secrets) {
      auto v = std::string(trim(value));
      if (v.size() < min_secret_length) continue;
      values_.emplace_back(name, v);
      auto encoded = base64_encode(v);
      values_.emplace_back(name, encoded.substr(0, encoded.size() / 4 * 4 - (encoded.size() > 8 ? 4 : 0)));
    }
  }

  Result<Examination> run(const BuiltLayout::Image& image, std::int64_t bytes_before) {
    for (const auto& layer : image.layers) {
      ++layer_;
      MAYFLY_TRY(walk_tar(layer, [this](archive* a, archive_entry* e) { return take(a, e); }));
    }
    auto text = json::serialize(image.config);
    for (const auto& [name, value] : values_)
      if (text.find(value) != std::string::npos)
        found("secret", fmt::format("the value of secret '{}' is in the image's configuration or history", name));
    const auto* config = image.config.if_contains("config");
    check_configuration(config && config->is_object() ? config->get_object() : json::object{});
    finish(bytes_before);
    return std::move(out_);
  }

 private:
  void found(const char* check, std::string what, bool error = true) {
    BuildFinding f{error, check, std::move(what)};
    auto same =
        std::count_if(out_.findings.begin(), out_.findings.end(), [&](const auto& o) { return o.check == check; });
    if (static_cast<std::size_t>(same) < max_findings &&
        std::find(out_.findings.begin(), out_.findings.end(), f) == out_.findings.end())
      out_.findings.push_back(std::move(f));
  }

  Result<void> take(archive* a, archive_entry* entry) {
    const char* name = archive_entry_pathname(entry);
    if (!name) return {};
    auto path = clean(name);
    auto slash = path.rfind('/');
    auto last = path.substr(slash == std::string::npos ? 0 : slash + 1);
    auto folder = slash == std::string::npos ? "" : path.substr(0, slash);
    if (last == ".wh..wh..opq") return remove_below(folder), Result<void>{};
    if (last.starts_with(".wh.")) {
      auto gone = (folder.empty() ? "" : folder + "/") + last.substr(4);
      return files_.erase(gone), remove_below(gone), Result<void>{};
    }
    if (path.empty()) return {};
    if (files_.size() > max_entries) return fail(ErrorCode::exhausted, "the image has more than 2 million files");
    File f;
    f.mode = archive_entry_perm(entry);
    f.uid = archive_entry_uid(entry), f.gid = archive_entry_gid(entry);
    if (const char* target = archive_entry_hardlink(entry)) {
      if (auto linked = files_.find(clean(target)); linked != files_.end()) f = linked->second;
    } else if (archive_entry_filetype(entry) == AE_IFREG) {
      f.kind = "f", f.size = archive_entry_size(entry);
      MAYFLY_ASSIGN(f.content, read(a, path));
    } else if (archive_entry_filetype(entry) == AE_IFLNK) {
      f.kind = "l", f.content = archive_entry_symlink(entry) ? archive_entry_symlink(entry) : "";
    } else {
      f.kind = archive_entry_filetype(entry) == AE_IFDIR ? "d" : "x";
    }
    // A file that a later layer removes can still be read from the earlier one.
    if (f.kind != "d" && (fits_any(path, always_forbidden) || fits_any(path, spec_.forbid)))
      found("forbidden", fmt::format("/{} must not be in an image (layer {})", path, layer_));
    if (auto old = files_.find(path); old != files_.end() && old->second.kind == "d" && f.kind != "d")
      remove_below(path);
    files_[path] = std::move(f);
    return {};
  }

  // The file's digest; what is searched of it is kept no longer than this.
  Result<std::string> read(archive* a, const std::string& path) {
    Sha256 hash;
    std::string head;
    const void* data = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    for (int r; (r = archive_read_data_block(a, &data, &size, &offset)) != ARCHIVE_EOF;) {
      if (r != ARCHIVE_OK) return fail(ErrorCode::invalid, "a layer cannot be read", "/" + path);
      std::string_view bytes(static_cast<const char*>(data), size);
      hash.part(bytes.empty() ? "" : fmt::format("@{}", offset));
      hash.bytes(bytes);
      if (head.size() < searched) head += bytes.substr(0, searched - head.size());
    }
    search(path, head);
    return hash.hex();
  }

  void search(const std::string& path, const std::string& text) {
    for (const auto& [name, value] : values_)
      if (text.find(value) != std::string::npos)
        found("secret", fmt::format("the value of secret '{}' is in /{} (layer {})", name, path, layer_));
    // Distributions ship test keys and examples among their own files.
    if (path.starts_with("usr/share/") || path.starts_with("usr/lib/") || path.starts_with("usr/bin/")) return;
    static const std::regex key(R"(-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----)");
    static const std::regex token(
        R"((?:^|[^A-Za-z0-9])(AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|glpat-[A-Za-z0-9_-]{20})(?:[^A-Za-z0-9]|$))");
    if (text.find("PRIVATE KEY-----") != std::string::npos && std::regex_search(text, key))
      found("secret", fmt::format("/{} holds a private key (layer {})", path, layer_));
    bool likely = text.find("AKIA") != std::string::npos || text.find("glpat-") != std::string::npos ||
                  text.find("gh") != std::string::npos;
    if (likely && text.size() < (1u << 20) && text.find('\0') == std::string::npos && std::regex_search(text, token))
      found("secret", fmt::format("/{} holds what looks like an access token (layer {})", path, layer_));
  }

  void remove_below(const std::string& folder) {
    auto prefix = folder.empty() ? "" : folder + "/";
    for (auto it = files_.lower_bound(prefix); it != files_.end() && it->first.starts_with(prefix);)
      it = files_.erase(it);
  }

  // The file that a path leads to, links followed inside the image; null: there is none.
  const File* at(std::string path, int links = 0) const {
    std::vector<std::string> done;
    auto parts = split(clean(std::move(path)), '/');
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i].empty() || parts[i] == ".") continue;
      if (parts[i] == "..") {
        if (!done.empty()) done.pop_back();
        continue;
      }
      done.push_back(parts[i]);
      auto found = files_.find(join(done, "/"));
      if (found == files_.end()) return nullptr;
      if (found->second.kind == "l") {
        if (links >= max_links) return nullptr;
        done.pop_back();
        auto target = found->second.content;
        auto whole = target.starts_with("/") ? target : join(done, "/") + "/" + target;
        for (std::size_t j = i + 1; j < parts.size(); ++j) whole += "/" + parts[j];
        return at(whole, links + 1);
      }
      if (i + 1 == parts.size()) return &found->second;
    }
    return nullptr;
  }

  bool is_program(const std::string& name, const json::object& config) const {
    auto runs = [this](const std::string& path) {
      const auto* f = at(path);
      return f && f->kind == "f" && (f->mode & 0111) != 0;
    };
    if (name.find('/') != std::string::npos)
      return runs(name.starts_with("/") ? name : text_at(config, "WorkingDir") + "/" + name);
    std::string path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for (const auto& variable : texts_at(config, "Env"))
      if (variable.starts_with("PATH=")) path = variable.substr(5);
    for (const auto& folder : split(path, ':'))
      if (runs(folder + "/" + name)) return true;
    return false;
  }

  void check_configuration(const json::object& config) {
    auto entry = texts_at(config, "Entrypoint");
    if (!entry.empty() && !is_program(entry.front(), config))
      found("entry-point", fmt::format("the entry point {} is not an executable file in the image", entry.front()));
    auto command = texts_at(config, "Cmd");
    if (entry.empty() && !command.empty() && !is_program(command.front(), config))
      found("entry-point", fmt::format("the command {} is not an executable file in the image", command.front()));
    if (!is_program("/bin/sh", config))
      found("shell", "there is no /bin/sh: jobs that are scripts, and steps of CI systems, need one", false);
    for (const auto& [path, file] : files_)
      if (images::is_unread_database(path) && file.size > 0) {
        found("packages", fmt::format("/{} is of a kind that is not read: the SBOM will not list its packages", path),
              false);
        break;
      }
    user_ = text_at(config, "User");
    for (const char* key : {"Env", "Entrypoint", "Cmd"})
      for (const auto& value : texts_at(config, key)) settings_.push_back(fmt::format("{} {}", key, value));
    settings_.push_back("WorkingDir " + text_at(config, "WorkingDir"));
    auto name = user_.substr(0, user_.find(':'));
    if (!name.empty() && name.find_first_not_of("0123456789") != std::string::npos) named_user_ = name;
    if (!named_user_.empty() && !users_.contains(named_user_))
      found("user", fmt::format("USER {} is not in the image's /etc/passwd", named_user_));
  }

  void finish(std::int64_t before) {
    Sha256 hash;
    for (const auto& [path, f] : files_) {
      out_.bytes += f.size;
      if (fits_any(path, passing)) continue;
      for (const auto& part : {path, f.kind, fmt::format("{:o} {} {}", f.mode, f.uid, f.gid), f.content})
        hash.part(part);
    }
    hash.part(user_);
    for (const auto& part : settings_) hash.part(part);
    out_.fingerprint = hash.hex();
    auto limit = static_cast<std::int64_t>(static_cast<double>(before) * (1 + spec_.growth));
    if (before > 0 && out_.bytes > limit && out_.bytes - before > growth_floor)
      found("growth", fmt::format("it has {}, the version before {}: more than {:.0f} % larger",
                                  format_bytes(out_.bytes), format_bytes(before), spec_.growth * 100));
  }

 public:
  // The names in /etc/passwd, which only the last layer that has it tells.
  Result<void> read_users(const BuiltLayout::Image& image) {
    for (auto layer = image.layers.rbegin(); layer != image.layers.rend(); ++layer) {
      bool seen = false;
      MAYFLY_TRY(walk_tar(*layer, [&](archive* a, archive_entry* e) -> Result<void> {
        const char* name = archive_entry_pathname(e);
        if (seen || !name || clean(name) != "etc/passwd" || archive_entry_filetype(e) != AE_IFREG) return {};
        seen = true;
        std::string text(static_cast<std::size_t>(std::clamp<la_int64_t>(archive_entry_size(e), 0, 1 << 20)), '\0');
        auto n = archive_read_data(a, text.data(), text.size());
        text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
        for (const auto& line : split(text, '\n')) users_.insert(line.substr(0, line.find(':')));
        return {};
      }));
      if (seen) return {};
    }
    return {};
  }

 private:
  const ImageSpec& spec_;
  std::vector<std::pair<std::string, std::string>> values_;
  std::map<std::string, File> files_;
  std::set<std::string> users_;
  std::string user_, named_user_;
  std::vector<std::string> settings_;  // what its processes start with
  int layer_ = 0;
  Examination out_;
};

}  // namespace

Result<Examination> examine_image(const BuiltLayout::Image& image, const ImageSpec& spec,
                                  const std::map<std::string, std::string>& secrets, std::int64_t bytes_before) {
  Examiner examiner(spec, secrets);
  MAYFLY_TRY(examiner.read_users(image));
  return examiner.run(image, bytes_before);
}

}  // namespace mayfly
