#pragma once
// What outlives the daemon. One contract suite (tests/contract) holds for all stores. Any thread; calls are serialised
// inside. Times out of the way: a commit of a few rows takes about 0.2 ms, so control calls it directly.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/builder.h"
#include "model/image_build.h"
#include "model/job.h"
#include "model/ledger.h"
#include "model/publication.h"
#include "model/rollout.h"
#include "model/version.h"

namespace mayfly {

struct LedgerDraft {
  Time at{};
  std::string kind = {}, subject = {}, detail = {};  // see LedgerEntry; seq and hashes are given by the store, in order
};

// Everything one step of control changes: written all or nothing, durable when commit() returns.
struct Batch {
  std::vector<Job> jobs = {};          // inserted or replaced by id
  std::vector<Builder> builders = {};  // inserted or replaced by id
  std::vector<LedgerDraft> ledger = {};
  // Ended jobs to delete for good; with them go the builders that ran them, and builders that were over before they
  // ended and never had a job. A job that has not ended: conflict, and nothing of the batch is done. The ledger keeps
  // its entries.
  std::vector<JobId> forget = {};
  std::vector<ImageVersion> versions = {};     // inserted or replaced by image and number
  std::vector<PoolVersions> pools = {};        // inserted or replaced by pool
  std::vector<Publication> publications = {};  // inserted or replaced by image, number and repository
  std::vector<ImageBuild> image_builds = {};   // inserted or replaced by id
  bool empty() const {
    return jobs.empty() && builders.empty() && ledger.empty() && forget.empty() && versions.empty() && pools.empty() &&
           publications.empty() && image_builds.empty();
  }
};

// What a starting daemon needs.
struct StoreSnapshot {
  std::vector<Job> jobs = {};          // not ended, by id
  std::vector<Builder> builders = {};  // not gone and not lost
  JobId next_job = 1;
  std::uint64_t next_builder = 1;              // one above the greatest number ever used in a builder id
  std::vector<ImageVersion> versions = {};     // all, by image, and within it from the lowest to the highest
  std::vector<PoolVersions> pools = {};        // all, by pool
  std::vector<Publication> publications = {};  // all
};

struct JobFilter {
  std::optional<JobState> state = {};
  std::optional<bool> ended = {};  // true: final states only; false: the others only
  std::string pool = {};           // empty: all
  std::string image_version = {};  // "general@2.4.1"; empty: all
  JobId before = 0;                // only ids below; 0: all. Page with the last id of the page before
  std::size_t limit = 100;         // newest first
};

struct LedgerCheck {
  std::uint64_t entries = 0;
  std::string head;  // hash of the last entry
};

class Store {
 public:
  virtual ~Store() = default;
  virtual Result<void> commit(const Batch& batch) = 0;
  virtual Result<StoreSnapshot> load() = 0;
  virtual Result<std::optional<Job>> job(JobId id) = 0;
  virtual Result<std::optional<JobId>> job_with_key(const std::string& idempotency_key) = 0;
  virtual Result<std::vector<Job>> jobs(const JobFilter& filter) = 0;
  virtual Result<std::optional<Builder>> builder(const BuilderId& id) = 0;
  // Newest first, gone ones included.
  virtual Result<std::vector<Builder>> builders(std::size_t limit) = 0;
  virtual Result<std::vector<JobId>> jobs_ended_before(Time t, std::size_t limit) = 0;
  virtual Result<std::optional<ImageBuild>> image_build(BuildId id) = 0;
  // Newest first; of one image, or of all where it is empty.
  virtual Result<std::vector<ImageBuild>> image_builds(const std::string& image, std::size_t limit) = 0;
  virtual Result<std::vector<ImageBuild>> active_image_builds() = 0;  // those that have not ended, by id
  // In order, from `from_seq` on; with a subject, only its entries.
  virtual Result<std::vector<LedgerEntry>> ledger(std::uint64_t from_seq, std::size_t limit,
                                                  const std::string& subject = {}) = 0;
  // Walks the whole chain; an error names the first entry that is wrong or missing.
  virtual Result<LedgerCheck> verify_ledger() = 0;
};

}  // namespace mayfly
