// rpm's order of versions (rpm's docs/manual/dependencies.md, "Versioning", and lib/rpmvercmp's documentation).
#include <algorithm>
#include <cctype>

#include "plan/release.h"

namespace mayfly::plan {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

template <class F>
std::string_view take(std::string_view& text, F fits) {
  auto end = static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), fits) - text.begin());
  auto part = text.substr(0, end);
  text.remove_prefix(end);
  return part;
}

// Of two runs of digits, or of letters.
int compare_runs(std::string_view a, std::string_view b, bool digits) {
  if (digits) {
    take(a, [](char c) { return c == '0'; });
    take(b, [](char c) { return c == '0'; });
    if (a.size() != b.size()) return a.size() < b.size() ? -1 : 1;
  }
  return a.compare(b);
}

// Runs of digits and of letters in turn; what stands between them only parts them. '~' is before the end, '^' after it
// and before all else.
int compare_segments(std::string_view a, std::string_view b) {
  auto parts = [](char c) { return !is_digit(c) && !is_letter(c) && c != '~' && c != '^'; };
  while (!a.empty() || !b.empty()) {
    take(a, parts);
    take(b, parts);
    for (char mark : {'~', '^'}) {
      const bool in_a = a.starts_with(mark), in_b = b.starts_with(mark);
      if (in_a != in_b) {
        if (mark == '~') return in_a ? -1 : 1;
        return (in_a ? b : a).empty() == in_a ? 1 : -1;
      }
      if (!in_a) continue;
      a.remove_prefix(1);
      b.remove_prefix(1);
      return compare_segments(a, b);
    }
    if (a.empty() || b.empty()) break;
    const bool digits = is_digit(a.front());
    auto kind = [digits](char c) { return digits ? is_digit(c) : is_letter(c); };
    auto x = take(a, kind), y = take(b, kind);
    if (y.empty()) return digits ? 1 : -1;  // a number is newer than a word
    if (int d = compare_runs(x, y, digits); d != 0) return d;
  }
  return a.empty() == b.empty() ? 0 : a.empty() ? -1 : 1;
}

struct Parts {
  std::string_view epoch, version, release;
};

Parts parts_of(std::string_view text) {
  Parts p{"0", text, ""};
  if (auto colon = text.find(':'); colon != std::string_view::npos)
    p = {text.substr(0, colon), text.substr(colon + 1), ""};
  if (auto dash = p.version.rfind('-'); dash != std::string_view::npos)
    p.release = p.version.substr(dash + 1), p.version = p.version.substr(0, dash);
  return p;
}

}  // namespace

int compare_rpm_versions(std::string_view a, std::string_view b) {
  const auto x = parts_of(a), y = parts_of(b);
  if (int d = compare_segments(x.epoch, y.epoch); d != 0) return d;
  if (int d = compare_segments(x.version, y.version); d != 0) return d;
  return compare_segments(x.release, y.release);
}

}  // namespace mayfly::plan
