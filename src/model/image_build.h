#pragma once
// One build of an image's recipe at a commit: built, looked at, tried by a real job, approved, handed on to be
// released. Values and their state machine; no I/O.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

#include "base/clock.h"
#include "base/result.h"
#include "model/job.h"

namespace mayfly {

using BuildId = std::uint64_t;  // 1, 2, 3, … per state directory; never reused

enum class BuildState {
  queued,      // not begun: it waits for its turn, or for the image that it is built FROM
  building,    // its recipe becomes an image, here or in a builder
  examining,   // what can be seen without running it
  trying,      // the recipe's own commands run as a job on it
  waiting,     // for people's approvals
  releasing,   // handed on to be released
  released,    // a version was made of it
  passed,      // built and tried; it came from a ref that is not released from
  unchanged,   // a rebuild made what is released already
  failed,      // with `problem`
  cancelled,   // somebody asked
  superseded,  // its recipe changed while it waited: approvals given to it are void
};
std::string_view to_string(BuildState s);
std::optional<BuildState> build_state_from(std::string_view name);
bool is_final(BuildState s);
bool may_follow(BuildState from, BuildState to);

enum class BuildTrigger {
  hand,
  commit,    // to any ref but the one that is released from
  merge,     // to that one
  schedule,  // `rebuild:` a fresh base and no cached steps
  base,      // an image that it is built FROM was released, or is another one in its registry
};
std::string_view to_string(BuildTrigger t);
std::optional<BuildTrigger> build_trigger_from(std::string_view name);

// What was seen in the image. An error fails the build.
struct BuildFinding {
  bool error = false;
  std::string check;  // "user", "growth", "forbidden", "secret", "entry-point", "shell"
  std::string what;
  bool operator==(const BuildFinding&) const = default;
};

struct BuildApproval {
  std::string who;
  std::string digest;  // of the image that they saw
  Time at{};
  bool operator==(const BuildApproval&) const = default;
};

struct ImageBuild {
  BuildId id = 0;
  std::string image;     // a name under images:
  std::string ref;       // "main", "refs/pull/7/head", a commit
  bool release = false;  // the ref is the one that is released from
  BuildTrigger trigger = BuildTrigger::hand;
  std::string by;                                     // who asked; empty: Mayfly itself
  std::string commit;                                 // once resolved, as all of these
  std::vector<std::string> authors;                   // of the change, "Name <address>"
  std::string message;                                // of the commit
  std::string content;                                // of recipe and arguments: the same content is the same recipe
  std::map<std::string, std::string> bases;           // images of Mayfly's that it is built FROM → their digests
  std::map<std::string, std::string> registry_bases;  // … of a registry's, as FROM names them → the digest they had
  std::string reason;                                 // why it was begun, where `trigger` does not say it all
  BuildState state = BuildState::queued;
  std::string problem;               // failed, superseded, unchanged: why. queued: what it waits for
  std::string builder_digest;        // of the image whose builder built it; empty: built on the daemon's host
  JobId build_job = 0, try_job = 0;  // 0: none
  BuildId same_as = 0;               // the build whose image this is, because its recipe is the same; 0: built anew
  std::string digest;                // sha256:…, of the manifest
  std::string reference;             // what a platform can prepare()
  std::string fingerprint;           // over what is in its files, but for logs and caches
  std::int64_t bytes = 0;            // of its files
  std::string version;               // released: "2.4.1"
  std::vector<BuildFinding> findings;
  std::vector<BuildApproval> approvals;
  int approvals_needed = 0;
  std::string report;                          // a status that whoever is to be told has not heard yet; empty: none
  std::string commit_status;                   // … that is not shown at the commit yet
  Time queued_at{}, started_at{}, ended_at{};  // epoch where it has not happened
  Time swept_at{};                             // when its image was removed, since nobody needs it

  bool operator==(const ImageBuild&) const = default;
};

// Whether "alice" is the person whom git knows as "Alice Liddell <alice@acme.example>".
bool is_same_person(std::string_view who, std::string_view author);
// Why this person's approval cannot count; empty: it can.
std::string approval_refusal(const ImageBuild& build, std::string_view who);
inline bool is_approved(const ImageBuild& b) { return static_cast<int>(b.approvals.size()) >= b.approvals_needed; }

// What a commit's status says: "building", "testing", "needs-approval", "releasing", or how the build ended.
std::string build_status(const ImageBuild& b);

boost::json::object to_json(const ImageBuild& b);
Result<ImageBuild> image_build_from_json(const boost::json::object& o);

}  // namespace mayfly
