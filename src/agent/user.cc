#include "agent/user.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/fd.h"
#include "base/text.h"

namespace mayfly::agent {
namespace {

constexpr std::size_t max_file = 4U << 20;
constexpr std::size_t max_groups = 1024;

std::optional<unsigned> id_from(std::string_view text) {
  unsigned value = 0;
  auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  // 4294967295 is "leave unchanged" to the kernel: as a user it would silently mean root.
  if (ec != std::errc() || end != text.data() + text.size() || text.empty() || value == ~0U) return std::nullopt;
  return value;
}

// Calls f with the fields of each line that has at least `fields` of them.
template <class F>
void each_line(std::string_view file, std::size_t fields, F f) {
  while (!file.empty()) {
    auto line = file.substr(0, file.find('\n'));
    file.remove_prefix(std::min(file.size(), line.size() + 1));
    if (line.starts_with('#')) continue;
    auto parts = split(line, ':');
    if (parts.size() >= fields) f(parts);
  }
}

std::string read_file(const char* path) {
  // An image may put a fifo or a device there: opening must not block PID 1.
  Fd fd(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat st{};
  if (!fd || ::fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return {};
  std::string out(std::min<std::size_t>(max_file, static_cast<std::size_t>(st.st_size)), '\0');
  std::size_t got = 0;
  while (got < out.size()) {
    auto n = ::read(fd.get(), out.data() + got, out.size() - got);
    if (n <= 0) break;
    got += static_cast<std::size_t>(n);
  }
  out.resize(got);
  return out;
}

bool lists_member(std::string_view members, std::string_view name) {
  auto names = split(members, ',');
  return std::find(names.begin(), names.end(), name) != names.end();
}

Result<gid_t> resolve_group(std::string_view text, std::string_view group) {
  std::optional<gid_t> found = id_from(text);
  if (!found) {
    each_line(group, 3, [&](const std::vector<std::string>& f) {
      if (!found && f[0] == text) found = id_from(f[2]);
    });
  }
  if (found) return *found;
  return fail(ErrorCode::not_found, "group '" + std::string(text) + "' is not in the image's /etc/group", {},
              "Add it in the recipe, or set USER there to a number.");
}

}  // namespace

Result<User> resolve_user(std::string_view text, std::string_view passwd, std::string_view group) {
  auto colon = text.find(':');
  auto who = text.substr(0, colon);
  auto group_text = colon == std::string_view::npos ? std::string_view() : text.substr(colon + 1);
  if (who.empty()) who = "0";
  auto number = id_from(who);
  User user;
  bool known = false;
  each_line(passwd, 6, [&](const std::vector<std::string>& f) {
    auto uid = id_from(f[2]), gid = id_from(f[3]);
    if (known || !uid || !gid || (number ? *uid != *number : f[0] != who)) return;
    known = true;
    user = {*uid, *gid, {}, f[0], f[5].starts_with('/') ? f[5] : "/"};
  });
  if (!known && !number)
    return fail(ErrorCode::not_found, "user '" + std::string(who) + "' is not in the image's /etc/passwd", {},
                "Add it in the recipe, or set USER there to a number.");
  if (!known) user = {*number, 0, {}, *number == 0 ? "root" : "", *number == 0 ? "/root" : "/"};
  if (!group_text.empty()) {
    MAYFLY_ASSIGN(user.gid, resolve_group(group_text, group));
    return user;
  }
  each_line(group, 4, [&](const std::vector<std::string>& f) {
    auto gid = id_from(f[2]);
    if (gid && !user.name.empty() && user.groups.size() < max_groups && lists_member(f[3], user.name))
      user.groups.push_back(*gid);
  });
  return user;
}

Result<User> resolve_user(std::string_view user) {
  return resolve_user(user, read_file("/etc/passwd"), read_file("/etc/group"));
}

}  // namespace mayfly::agent
