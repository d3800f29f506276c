#pragma once
// A CI system's queue, as control sees it: one Ci for each pool that takes its jobs from one. One implementation per
// folder below ci/; one contract suite (tests/contract/ci_contract.h) holds for all.
//
// What the six systems have in common: jobs wait in a queue; a builder's agent (the CI's own, in its one-job mode)
// registers under a name and takes one; afterwards the CI knows what that name took and how it ended. What differs is
// kept behind this port: whether the queue is polled or told of, whether a job is bound to a builder before it starts
// (Buildkite, scale sets: mint() may do so, for it is told the job) or any builder takes any job (Azure DevOps, GitHub,
// GitLab, Jenkins), and what a credential is made of. So control never trusts the pairing that it intended: it asks
// taken(). ADR 0009 says why Buildbot, which pushes its jobs through the public API, needs none of this.
//
// Calls block, each with a deadline, and come from the worker threads of its connection(). observe() never overlaps
// another observe() of the same Ci; all else may overlap, also on different registrations. Errors: `unavailable` and
// `timeout` may pass and are tried again; `denied` says which right is missing and where to grant it; secrets are in no
// error's text.
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "model/builder.h"
#include "ports/platform.h"

namespace mayfly {

enum class CiPhase { pending, running, ended };
enum class CiOutcome {
  unknown,    // not ended, or the CI does not say
  succeeded,  // with issues and warnings, too
  failed,
  cancelled,
  skipped,
  timed_out,  // by the CI's own clock
  abandoned,  // the CI lost its agent: an infrastructure loss
};

struct CiJob {
  std::string id;                        // the CI's own; never used again for another job
  std::string url = {};                  // for people
  std::string name = {};                 // for people
  std::vector<std::string> labels = {};  // labels or demands; the connector has matched them already
  int priority = 0;                      // higher first
  CiPhase phase = CiPhase::pending;
  std::string runner = {};  // the name of the registration that has it; empty: nobody's, or not known
  CiOutcome outcome = CiOutcome::unknown;
  std::string result = {};                     // the CI's own word for the outcome
  Time queued_at{}, started_at{}, ended_at{};  // by the CI's clock, which may be wrong: for people only
};

struct CiSight {
  std::vector<CiJob> jobs = {};  // all that are pending for this pool; of the others those that happened to be seen
  // Every pending job is in `jobs`: one that was pending before and is not here has vanished or is somebody else's.
  bool whole = true;
  Duration again = seconds(5);  // when to ask next; what Retry-After and its like said is in it
  bool throttled = false;       // the CI asks for fewer requests: `whole` may be false then
  std::string notice = {};      // what an operator should read ("the pool wants a newer agent"); empty: all is well
};

// What a builder runs to take one job: the same for every job of the pool, and no secret. Relies on what the shipped
// recipe of this CI's builders puts into the image. Reads its credential from the environment, removes it from there
// before it starts the CI's agent, starts that so that it takes one job at most, and ends with it.
struct CiRunner {
  std::string script;
  std::map<std::string, std::string> env = {};
};

struct CiRegistration {
  std::string name;     // as given to mint()
  std::string id = {};  // the CI's own; empty: not known any more, look it up by name
  bool busy = false;    // the CI says that it has a job
  bool online = true;   // … that its agent is connected; true where it does not say
};

struct CiCredential {
  CiRegistration registration;
  // Environment variables of this one builder. They go the way of every secret: in memory to the agent, masked in the
  // log, never to a disk, a database or a command line.
  std::map<std::string, std::string> secrets = {};
  std::string note = {};  // how it was made, where there is more than one way: for the ledger
};

// An optional ability: the CI tells of changes by itself. Called on the API's own thread: must not block. Any call may
// be forged, repeated or out of order; a lost one must cost time only, since observe() sees the same.
struct CiNews {
  std::vector<CiJob> jobs = {};  // that changed
  bool look = false;             // something changed that only observe() can say
};
class CiWebhooks {
 public:
  virtual ~CiWebhooks() = default;
  // The last part of its address, /v1/webhooks/KIND/NAME. Pools may share one; each of them is told.
  virtual std::string hook() const = 0;
  // Checks who sent it, then what it says. `headers`: names in lower case. denied: the signature is missing or wrong.
  // conflict: this delivery came before. invalid: it makes no sense.
  virtual Result<CiNews> receive(const std::vector<std::pair<std::string, std::string>>& headers,
                                 std::string_view body) = 0;
};

// An optional ability: to cancel a job at the CI when somebody cancelled it here. not_found: it is over already.
class CiCancellation {
 public:
  virtual ~CiCancellation() = default;
  virtual Result<void> cancel(const std::string& job, Deadline deadline) = 0;
};

// How something that was made of a commit stands, for the CI's Git host to show beside it.
enum class CommitState { pending, succeeded, failed, error };
struct CommitStatus {
  std::string repository;  // by the host's own name: "acme/site"; in Azure DevOps "PROJECT/REPOSITORY"
  std::string commit;      // 40 hex digits
  std::string context;     // what it is the status of: a later one with the same takes its place
  CommitState state = CommitState::pending;
  std::string description;  // one line of at most 140 bytes, UTF-8
};

// An optional ability: to set the status of a commit. `exhausted`, `unavailable` and `timeout` may pass. Saying the
// same again does no harm.
class CiCommitStatuses {
 public:
  virtual ~CiCommitStatuses() = default;
  virtual Result<void> set_status(const CommitStatus& status, Deadline deadline) = 0;
};

class Ci {
 public:
  virtual ~Ci() = default;
  virtual std::string_view kind() const = 0;  // "github": as in the configuration
  // Names the queue: connectors with the same kind and place, however they sign in, see the same jobs and
  // registrations.
  virtual std::string place() const = 0;
  // Names the server and the sign-in that requests go by, and no secret: connectors with the same one share workers.
  virtual std::string connection() const { return place(); }
  virtual CiRunner runner() const = 0;

  // Looks at the queue. Being throttled is no error but a sight with `throttled` and `again`.
  virtual Result<CiSight> observe(Deadline deadline) = 0;

  // Makes a credential that lets one builder register under `name`, take one job, and no more. `name` is at most 64 of
  // a-z, 0-9 and '-', and never used again; `job` is the one that the builder was started for. After an error there may
  // be a registration all the same: control calls forget().
  virtual Result<CiCredential> mint(const std::string& name, const CiJob& job, Deadline deadline) = 0;

  // The job that this registration has or had, as it stands now; nothing if it took none as far as the CI knows. Must
  // still answer some minutes after the builder has gone, until forget().
  virtual Result<std::optional<CiJob>> taken(const CiRegistration& registration, Deadline deadline) = 0;

  // Removes the registration and all that mint() made for it; true if there is none. conflict: the CI says that it has
  // a job still; tried again later.
  virtual Result<void> forget(const CiRegistration& registration, Deadline deadline) = 0;

  // Every registration at the CI whose name begins like this, whoever made it: what a crash left behind.
  virtual Result<std::vector<CiRegistration>> registrations(const std::string& prefix, Deadline deadline) = 0;

  // The daemon ends: calls under way, and all later ones, return `unavailable` within about a second. What they had
  // begun may have happened or not, as after a kill. From any thread, at any time.
  virtual void abandon() {}

  // Null: it cannot.
  virtual CiWebhooks* webhooks() { return nullptr; }
  virtual CiCancellation* cancellation() { return nullptr; }
  virtual CiCommitStatuses* commit_statuses() { return nullptr; }
};

}  // namespace mayfly
