#pragma once
// The store in one SQLite file (ports/store.h). Every method holds one lock; only verify_ledger() reads through a
// connection of its own, so that walking a long ledger holds up nobody.
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "os/sqlite.h"
#include "ports/store.h"

namespace mayfly {

inline constexpr std::uint32_t sqlite_application_id = 0x4d61666c;  // "Mafl": what `file` may show

class SqliteStore final : public Store {
 public:
  // Creates or opens the file and brings it up to date. One process at a time: the state directory's lock sees to that.
  static Result<std::unique_ptr<SqliteStore>> open(const std::string& path);

  Result<void> commit(const Batch& batch) override;
  Result<StoreSnapshot> load() override;
  Result<std::optional<Job>> job(JobId id) override;
  Result<std::optional<JobId>> job_with_key(const std::string& idempotency_key) override;
  Result<std::vector<Job>> jobs(const JobFilter& filter) override;
  Result<std::optional<Builder>> builder(const BuilderId& id) override;
  Result<std::vector<Builder>> builders(std::size_t limit) override;
  Result<std::optional<ImageBuild>> image_build(BuildId id) override;
  Result<std::vector<ImageBuild>> image_builds(const std::string& image, std::size_t limit) override;
  Result<std::vector<ImageBuild>> active_image_builds() override;
  Result<std::vector<JobId>> jobs_ended_before(Time t, std::size_t limit) override;
  Result<std::vector<LedgerEntry>> ledger(std::uint64_t from_seq, std::size_t limit,
                                          const std::string& subject) override;
  Result<LedgerCheck> verify_ledger() override;

 private:
  // The row of `meta`, kept in memory between commits and read again after one that failed.
  struct Meta {
    JobId next_job = 1;
    std::uint64_t next_builder = 1;
    std::uint64_t ledger_seq = 0;
    std::string ledger_hash;  // hex
  };

  explicit SqliteStore(std::unique_ptr<sqlite::Database> database) : database_(std::move(database)) {}
  static Result<Meta> read_meta(sqlite::Database& database);
  Result<void> write(const Batch& batch, Meta& meta);
  Result<void> put(const Job& job, Meta& meta);
  Result<void> put(const Builder& builder, Meta& meta);
  Result<void> put(const ImageVersion& version);
  Result<void> put(const PoolVersions& pool);
  Result<void> put(const Publication& publication);
  Result<void> put(const ImageBuild& build);
  Result<void> append(const LedgerDraft& draft, Meta& meta);
  Result<void> forget(JobId id);
  Result<void> put(const Meta& meta);

  std::mutex mutex_;
  std::unique_ptr<sqlite::Database> database_;
  std::optional<Meta> meta_;
};

}  // namespace mayfly
