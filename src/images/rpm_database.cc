#include "images/rpm_database.h"

#include <cstdint>
#include <cstdlib>
#include <optional>

#include <fmt/format.h>

#include "os/file.h"
#include "os/foreign_sqlite.h"

namespace mayfly::images {
namespace {

// rpm's tags and types (rpmtag.h).
enum Tag : std::uint32_t { name = 1000, version = 1001, release = 1002, epoch = 1003, license = 1014, arch = 1022 };
enum Type : std::uint32_t { int32 = 4, string = 6, string_array = 8, i18n_string = 9 };

constexpr std::size_t intro = 8, entry_size = 16;
constexpr std::uint32_t max_entries = 100'000;
constexpr std::size_t max_text = 1000;

std::uint32_t number_at(std::string_view bytes, std::size_t at) {
  std::uint32_t n = 0;
  for (std::size_t i = 0; i < 4; ++i) n = n << 8 | static_cast<unsigned char>(bytes[at + i]);
  return n;
}

class Header {
 public:
  explicit Header(std::string_view blob) {
    if (blob.size() < intro) return;
    const std::uint64_t entries = number_at(blob, 0), bytes = number_at(blob, 4);
    if (entries > max_entries || intro + entries * entry_size + bytes > blob.size()) return;
    index_ = blob.substr(intro, entries * entry_size);
    values_ = blob.substr(intro + entries * entry_size, bytes);
    whole_ = true;
  }
  bool whole() const { return whole_; }

  std::optional<std::string> text(Tag tag) const {
    auto at =
        find(tag, [](std::uint32_t type) { return type == string || type == string_array || type == i18n_string; });
    if (!at || *at >= values_.size()) return std::nullopt;
    auto rest = values_.substr(*at, max_text + 1);
    auto end = rest.find('\0');
    if (end == std::string_view::npos) return std::nullopt;
    return std::string(rest.substr(0, end));
  }

  std::optional<std::uint32_t> number(Tag tag) const {
    auto at = find(tag, [](std::uint32_t type) { return type == int32; });
    if (!at || values_.size() < 4 || *at > values_.size() - 4) return std::nullopt;
    return number_at(values_, *at);
  }

 private:
  // Where the first value of the tag begins.
  template <class F>
  std::optional<std::size_t> find(Tag tag, F fits) const {
    for (std::size_t at = 0; at < index_.size(); at += entry_size)
      if (number_at(index_, at) == tag && fits(number_at(index_, at + 4)) && number_at(index_, at + 12) > 0)
        return number_at(index_, at + 8);
    return std::nullopt;
  }

  std::string_view index_, values_;
  bool whole_ = false;
};

// A folder that is gone with this.
struct Copy {
  std::string path;
  ~Copy() {
    if (!path.empty()) (void)os::remove_tree(path);
  }
};

}  // namespace

Result<Package> parse_rpm_header(std::string_view blob) {
  const Header header(blob);
  auto called = header.text(Tag::name), of = header.text(Tag::version), build = header.text(Tag::release);
  if (!header.whole() || !called || called->empty() || !of || !build)
    return fail(ErrorCode::invalid, "a package's header in the rpm database is damaged");
  Package p{"rpm", *called, *of + "-" + *build, header.text(Tag::arch).value_or("")};
  if (auto e = header.number(Tag::epoch)) p.version = fmt::format("{}:{}", *e, p.version);
  p.license = header.text(Tag::license).value_or("");
  return p;
}

Result<std::vector<Package>> read_rpm_database(const std::string& database, const std::string& wal,
                                               const std::string& folder) {
  Copy copy{folder + "/.rpm-XXXXXX"};
  if (!::mkdtemp(copy.path.data())) {
    auto error = errno_error("a copy of the rpm database cannot be made", errno, copy.path);
    copy.path.clear();
    return Unexpected(std::move(error));
  }
  const auto file = copy.path + "/rpmdb.sqlite";
  MAYFLY_TRY(os::write_file_atomically(file, database));
  if (!wal.empty()) MAYFLY_TRY(os::write_file_atomically(file + "-wal", wal));
  MAYFLY_ASSIGN(auto headers, sqlite::read_foreign(file, "SELECT blob FROM Packages"));
  std::vector<Package> out;
  for (const auto& header : headers) {
    MAYFLY_ASSIGN(auto p, parse_rpm_header(header));
    if (p.name != "gpg-pubkey") out.push_back(std::move(p));
  }
  return out;
}

}  // namespace mayfly::images
