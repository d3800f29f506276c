#include "images/layer_reader.h"

#include <archive.h>
#include <archive_entry.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "base/text.h"
#include "images/rpm_database.h"
#include "images/target_platforms.h"
#include "model/json.h"

namespace mayfly::images {

namespace json = boost::json;

namespace {

constexpr std::int64_t max_database = 64 << 20;       // bytes of one package database; Debian's largest have 10 MB
constexpr std::int64_t max_rpm_database = 256 << 20;  // a header with every file's name and digest for each package
constexpr std::uint64_t max_entries = 5'000'000;      // files of one layer
constexpr std::size_t max_layers = 256;
constexpr std::string_view whiteout = ".wh.";
constexpr std::string_view opaque = ".wh..wh..opq";

using Archive = std::unique_ptr<archive, int (*)(archive*)>;

std::string normal(std::string_view path) {
  while (path.starts_with("./") || path.starts_with('/')) path.remove_prefix(path[0] == '/' ? 1 : 2);
  while (path.ends_with('/')) path.remove_suffix(1);
  return std::string(path);
}

bool is_database(const std::string& path) {
  static const std::set<std::string, std::less<>> files{"etc/os-release", "usr/lib/os-release", "var/lib/dpkg/status",
                                                        "lib/apk/db/installed", "usr/lib/apk/db/installed"};
  return files.contains(path) || path.starts_with("var/lib/dpkg/status.d/");
}

constexpr const char* rpm_folders[] = {"var/lib/rpm/", "usr/lib/sysimage/rpm/", "usr/share/rpm/"};

bool is_rpm_database(std::string_view path) {
  return std::any_of(std::begin(rpm_folders), std::end(rpm_folders), [&](std::string_view folder) {
    if (!path.starts_with(folder)) return false;
    auto name = path.substr(folder.size());
    return name == "rpmdb.sqlite" || name == "rpmdb.sqlite-wal";
  });
}

// Berkeley DB's and ndb's, of rpm before 4.16 and of SUSE.
bool is_old_rpm_database(std::string_view path) {
  return std::any_of(std::begin(rpm_folders), std::end(rpm_folders), [&](std::string_view folder) {
    return path.starts_with(folder) &&
           (path.substr(folder.size()) == "Packages" || path.substr(folder.size()) == "Packages.db");
  });
}

bool in_program_directory(std::string_view path) {
  auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return false;
  auto folder = path.substr(0, slash);
  auto last = folder.substr(folder.rfind('/') + 1);  // npos + 1 is 0: the whole
  return (last == "bin" || last == "sbin") && path.size() > slash + 1;
}

// The files of an image that matter here, put together from its topmost layer down.
struct Files {
  std::map<std::string, std::string, std::less<>> databases;  // path → bytes
  std::set<std::string> programs;                             // paths
  std::string unread;                                         // a path

  // What a layer hides is hidden only of the layers below it.
  std::set<std::string> hidden, next_hidden;  // paths, with all that lies below them
  std::set<std::string> seen;                 // databases that an upper layer has

  bool is_hidden(std::string_view path) const {
    for (auto end = path.size(); end != std::string_view::npos && end > 0; end = path.rfind('/', end - 1))
      if (hidden.contains(std::string(path.substr(0, end)))) return true;
    return hidden.contains("");
  }
};

Result<std::string> read_data(archive* a, archive_entry* entry, std::int64_t limit, const std::string& where) {
  if (archive_entry_size(entry) > limit)
    return fail(ErrorCode::exhausted,
                fmt::format("{} is larger than {}", archive_entry_pathname(entry), format_bytes(max_database)), where);
  std::string bytes(static_cast<std::size_t>(archive_entry_size(entry)), '\0');
  if (archive_read_data(a, bytes.data(), bytes.size()) != static_cast<la_ssize_t>(bytes.size()))
    return fail(ErrorCode::invalid, fmt::format("the layer ends within {}", archive_entry_pathname(entry)), where);
  return bytes;
}

Result<void> read_entry(Files& files, archive* a, archive_entry* entry, const std::string& where) {
  const char* raw = archive_entry_pathname(entry);
  if (!raw) return {};  // a name that is not text is no database
  const auto path = normal(raw);
  const auto slash = path.rfind('/');
  const auto folder = slash == std::string::npos ? std::string() : path.substr(0, slash);
  const auto base = slash == std::string::npos ? path : path.substr(slash + 1);
  if (base == opaque) return files.next_hidden.insert(folder), Result<void>();
  if (base.starts_with(whiteout)) {
    auto name = base.substr(whiteout.size());
    files.next_hidden.insert(folder.empty() ? name : folder + "/" + name);
    return {};
  }
  if (files.is_hidden(path)) return {};
  const auto type = archive_entry_filetype(entry);
  const bool file = type == AE_IFREG, link = type == AE_IFLNK || archive_entry_hardlink(entry);
  if ((link || (file && (archive_entry_perm(entry) & 0111))) && in_program_directory(path)) files.programs.insert(path);
  const bool rpm = is_rpm_database(path), own = file && !archive_entry_hardlink(entry);
  if (file && is_unread_database(path)) files.unread = path;
  if (!own || !(rpm || is_database(path)) || !files.seen.insert(path).second) return {};
  if (rpm && archive_entry_size(entry) > max_rpm_database) return files.unread = path, Result<void>();
  MAYFLY_ASSIGN(files.databases[path], read_data(a, entry, rpm ? max_rpm_database : max_database, where));
  return {};
}

Result<void> read_layer(Files& files, const std::string& path) {
  Archive a(archive_read_new(), archive_read_free);
  MAYFLY_CHECK(a != nullptr);
  archive_read_support_filter_all(a.get());
  archive_read_support_format_tar(a.get());
  archive_read_support_format_empty(a.get());
  if (archive_read_open_filename(a.get(), path.c_str(), 256 << 10) != ARCHIVE_OK)
    return fail(ErrorCode::invalid, fmt::format("a layer cannot be read: {}", archive_error_string(a.get())), path);
  archive_entry* entry = nullptr;
  int status = ARCHIVE_OK;
  for (std::uint64_t n = 0; (status = archive_read_next_header(a.get(), &entry)) != ARCHIVE_EOF; ++n) {
    if (n >= max_entries) return fail(ErrorCode::exhausted, fmt::format("a layer has more than {} files", n), path);
    if (status == ARCHIVE_FATAL)
      return fail(ErrorCode::invalid, fmt::format("a layer cannot be read: {}", archive_error_string(a.get())), path);
    MAYFLY_TRY(read_entry(files, a.get(), entry, path));
  }
  files.hidden.merge(files.next_hidden);
  files.next_hidden.clear();
  return {};
}

Result<json::object> document(const OciLayout& layout, const std::string& digest) {
  MAYFLY_ASSIGN(auto text, layout.read(digest));
  boost::system::error_code error;
  auto value = json::parse(text, error);
  if (error || !value.is_object()) return fail(ErrorCode::invalid, "a manifest is not a JSON object", digest);
  return std::move(value.as_object());
}

// The digests and sizes in a list of descriptors.
Result<std::vector<Descriptor>> descriptors(const json::object& manifest, const char* key, const std::string& where) {
  std::vector<Descriptor> out;
  auto* list = manifest.if_contains(key);
  if (!list || !list->is_array()) return fail(ErrorCode::invalid, fmt::format("the manifest has no '{}'", key), where);
  for (const auto& entry : list->as_array()) {
    auto* o = entry.if_object();
    auto* digest = o ? o->if_contains("digest") : nullptr;
    auto* size = o ? o->if_contains("size") : nullptr;
    if (!digest || !digest->is_string() || !is_sha256_digest(digest->as_string()) || !size || !size->is_int64())
      return fail(ErrorCode::invalid, "the manifest names a part without digest or size", where);
    out.push_back({"", std::string(digest->as_string()), size->as_int64()});
  }
  if (out.size() > max_layers) return fail(ErrorCode::exhausted, "the image has too many parts", where);
  return out;
}

std::string value_of(std::string_view line) {
  auto value = trim(line);
  if (value.size() >= 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0])
    value = value.substr(1, value.size() - 2);
  return std::string(value);
}

void read_os_release(std::string_view text, Contents& contents) {
  for (const auto& line : split(text, '\n')) {
    if (line.starts_with("ID=")) contents.distribution = value_of(std::string_view(line).substr(3));
    if (line.starts_with("VERSION_ID=")) contents.distribution_version = value_of(std::string_view(line).substr(11));
  }
}

// A database that cannot be read is said, and no reason not to release the image.
std::vector<Package> rpm_packages(const Files& files, const std::string& path, const std::string& folder, Contents& c) {
  auto wal = files.databases.find(path + "-wal");
  auto read = read_rpm_database(files.databases.at(path), wal == files.databases.end() ? "" : wal->second, folder);
  if (read) return std::move(*read);
  c.note = fmt::format("The image's rpm database {} cannot be read ({}): its packages are not listed.", path,
                       read.error().what);
  return {};
}

Contents contents_of(const Files& files, const std::string& folder) {
  Contents c;
  for (const auto& [path, text] : files.databases) {
    std::vector<Package> found;
    if (path.ends_with("os-release")) read_os_release(text, c);
    if (path.ends_with("/md5sums")) continue;
    if (path.starts_with("var/lib/dpkg/")) found = parse_dpkg_status(text);
    if (path.ends_with("apk/db/installed")) found = parse_apk_installed(text);
    if (path.ends_with("/rpmdb.sqlite")) found = rpm_packages(files, path, folder, c);
    c.packages.insert(c.packages.end(), found.begin(), found.end());
  }
  auto key = [](const Package& p) { return std::tie(p.name, p.version, p.architecture, p.kind); };
  std::sort(c.packages.begin(), c.packages.end(), [&](const auto& a, const auto& b) { return key(a) < key(b); });
  c.packages.erase(std::unique(c.packages.begin(), c.packages.end()), c.packages.end());
  std::set<std::string> programs;
  for (const auto& path : files.programs) programs.insert(path.substr(path.rfind('/') + 1));
  c.programs.assign(programs.begin(), programs.end());
  if (!files.unread.empty())
    c.note = fmt::format("The image's package database {} is of a kind that is not read: its packages are not listed.",
                         files.unread);
  return c;
}

// Paragraphs of "KEY<separator>VALUE" lines, an empty line between.
template <class F>
void paragraphs(std::string_view text, std::string_view separator, F each) {
  std::map<std::string, std::string, std::less<>> fields;
  auto flush = [&] {
    if (!fields.empty()) each(fields);
    fields.clear();
  };
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (trim(line).empty()) {
      flush();
      continue;
    }
    auto at = line.find(separator);
    if (line[0] == ' ' || line[0] == '\t' || at == std::string_view::npos) continue;
    fields.emplace(line.substr(0, at), trim(line.substr(at + separator.size())));
  }
  flush();
}

}  // namespace

bool is_unread_database(std::string_view path) {
  return is_old_rpm_database(path) || path.starts_with("var/lib/pacman/local/");
}

std::vector<Package> parse_dpkg_status(std::string_view text) {
  std::vector<Package> out;
  paragraphs(text, ":", [&](auto& f) {
    // Distroless images keep one file a package, without a status: what is there is installed.
    auto status = f.find("Status");
    if (status != f.end() && !status->second.ends_with(" installed")) return;
    if (!f["Package"].empty()) out.push_back({"deb", f["Package"], f["Version"], f["Architecture"]});
  });
  return out;
}

std::vector<Package> parse_apk_installed(std::string_view text) {
  std::vector<Package> out;
  paragraphs(text, ":", [&](auto& f) {
    if (!f["P"].empty()) out.push_back({"apk", f["P"], f["V"], f["A"]});
  });
  return out;
}

Result<std::vector<IndexedImage>> images_of_index(const OciLayout& layout, const std::string& name) {
  MAYFLY_ASSIGN(auto top, layout.find(name));
  MAYFLY_ASSIGN(auto manifest, document(layout, top.digest));
  std::vector<IndexedImage> out;
  if (!manifest.contains("manifests")) return out;
  MAYFLY_ASSIGN(auto images, descriptors(manifest, "manifests", top.digest));
  for (std::size_t i = 0; i < images.size(); ++i) {
    const auto& entry = manifest["manifests"].as_array()[i].as_object();
    images[i].type = text_at(entry, "mediaType");
    const auto* is_for = entry.if_contains("platform");
    std::string platform;
    if (is_for && is_for->is_object())
      platform = text_at(is_for->as_object(), "os") + "/" + text_at(is_for->as_object(), "architecture");
    out.push_back({platform, images[i]});
  }
  return out;
}

Result<Contents> read_contents(const OciLayout& layout, const Descriptor& image) {
  MAYFLY_ASSIGN(auto manifest, document(layout, image.digest));
  MAYFLY_ASSIGN(auto layers, descriptors(manifest, "layers", image.digest));
  Files files;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer)
    MAYFLY_TRY(read_layer(files, layout.blob_path(layer->digest)));
  return contents_of(files, layout.folder());
}

Result<Contents> read_contents(const OciLayout& layout, const std::string& name) {
  MAYFLY_ASSIGN(auto top, layout.find(name));
  MAYFLY_ASSIGN(auto images, images_of_index(layout, name));
  for (const auto& i : images)
    if (i.platform == host_platform()) return read_contents(layout, i.image);
  return read_contents(layout, images.empty() ? top : images[0].image);
}

Result<std::int64_t> stored_bytes(const OciLayout& layout, const std::string& name) {
  MAYFLY_ASSIGN(auto top, layout.find(name));
  MAYFLY_ASSIGN(auto first, document(layout, top.digest));
  std::vector<Descriptor> images{top};
  std::int64_t sum = 0;
  if (first.contains("manifests")) {
    MAYFLY_ASSIGN(images, descriptors(first, "manifests", top.digest));
    sum += top.bytes;
  }
  std::map<std::string, std::int64_t> blobs;  // images of one index share layers
  for (const auto& image : images) {
    MAYFLY_ASSIGN(auto manifest, document(layout, image.digest));
    MAYFLY_ASSIGN(auto layers, descriptors(manifest, "layers", image.digest));
    blobs[image.digest] = image.bytes;
    for (const auto& layer : layers) blobs[layer.digest] = layer.bytes;
    if (auto* config = manifest["config"].if_object(); config && config->contains("size") && config->contains("digest"))
      if (auto* size = config->at("size").if_int64()) sum += *size;
  }
  for (const auto& [digest, bytes] : blobs) sum += bytes;
  return sum;
}

}  // namespace mayfly::images
