#pragma once
// A version of an image: one immutable build, by digest. And which of them a pool follows. Values only; no I/O.
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace mayfly {

// semver.org 2.0 without build metadata: two versions that differ only in it would be two digests of equal rank.
struct SemVer {
  std::uint32_t major = 0, minor = 0, patch = 0;
  std::string pre = {};  // "rc.1" of 2.4.0-rc.1; lower than 2.4.0

  static Result<SemVer> parse(std::string_view text);  // "2.4.1"; no leading zeros, no leading v
  std::string text() const;
  std::strong_ordering operator<=>(const SemVer& other) const;
  bool operator==(const SemVer&) const = default;
};

enum class VersionLevel { patch, minor, major };
std::string_view to_string(VersionLevel l);
std::optional<VersionLevel> version_level_from(std::string_view name);
// The one after `last`: 2.4.1 → 2.4.2, 2.5.0 or 3.0.0; of 2.5.0-rc.1 it is 2.5.0. The first of all is 1.0.0.
SemVer next_version(const std::optional<SemVer>& last, VersionLevel level);

// What a pool follows: `2.4.1` (this one), `^2` and `2` (below 3), `~2.4`, `^2.4` and `2.4`, `latest`. As everywhere,
// ^0.4 ends below 0.5. A version with a pre-release part is only ever had by its own name.
class VersionRange {
 public:
  static Result<VersionRange> parse(std::string_view text);
  static VersionRange latest() { return {}; }
  bool fits(const SemVer& v) const;
  bool exact() const { return exact_.has_value(); }
  const std::string& text() const { return text_; }

 private:
  std::string text_ = "latest";
  std::optional<SemVer> exact_, from_, below_;
};

// "general@^2" → "general" and "^2". Without an @ the second is empty.
std::pair<std::string_view, std::string_view> split_image(std::string_view image);

enum class VersionState {
  released,
  withdrawn,  // no pool follows it any more; one that pins it exactly still gets it
};
std::string_view to_string(VersionState s);
std::optional<VersionState> version_state_from(std::string_view name);

struct ImageVersion {
  std::string image;      // a name under images:
  SemVer number;          // with `image`, its identity: never given to another digest
  std::string digest;     // sha256:…, of the manifest, as the platform resolved it at the release
  std::string reference;  // what a platform can prepare(); if it means another digest later, it is refused
  std::string commit;     // of the recipe; may be empty
  std::string released_by;
  std::vector<std::string> approved_by;
  VersionState state = VersionState::released;
  std::string withdrawn_why;
  Time released_at{}, withdrawn_at{};
  std::string published_digest;  // of the manifest that registries get, the same in all; empty: it is not published
  std::int64_t bytes = 0;        // that a registry stores for it; 0: not known
  Time swept_at{};               // what was packed of it for registries was removed; zero: it is kept
  std::string builder_digest;    // of the image whose builder built it; empty: not known, or no builder did
  std::map<std::string, std::string> bases;  // images that it was built FROM → their digests, as far as known

  bool operator==(const ImageVersion&) const = default;
};

}  // namespace mayfly
