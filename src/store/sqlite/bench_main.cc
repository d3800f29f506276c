// How fast the store is on this disk:  store_sqlite_bench [DIRECTORY] [LEDGER-ENTRIES]
// Prints medians. Run it optimised, and on the filesystem that the state directory will be on.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "store/sqlite/sqlite_store.h"

namespace mayfly {
namespace {

using Steady = std::chrono::steady_clock;

double micros_since(Steady::time_point start) {
  return std::chrono::duration<double, std::micro>(Steady::now() - start).count();
}

template <class T>
T must(Result<T> r) {
  if (r) return std::move(*r);
  fmt::print(stderr, "{}\n", r.error().text());
  std::exit(1);
}
void must(Result<void> r) {
  if (r) return;
  fmt::print(stderr, "{}\n", r.error().text());
  std::exit(1);
}

Job sample(JobId id) {
  Job j;
  j.id = id;
  j.spec.pool = "general";
  j.spec.command = {"/bin/sh", "-c", "make -j4 && make test"};
  j.spec.env = {{"CI", "true"}, {"BRANCH", "main"}, {"COMMIT", "0123456789abcdef0123456789abcdef01234567"}};
  j.spec.submitter = "somebody";
  j.queued_at = from_micros(1'700'000'000'000'000 + static_cast<std::int64_t>(id));
  j.waiting = {.code = ReasonCode::behind_others, .text = "12 jobs are ahead of it", .since = j.queued_at, .until = {}};
  return j;
}

LedgerDraft entry(JobId id, const char* kind) {
  return {.at = from_micros(static_cast<std::int64_t>(id)),
          .kind = kind,
          .subject = fmt::format("job/{}", id),
          .detail = R"({"builder":"general-17","image":"sha256:0123456789abcdef"})"};
}

template <class F>
void time_it(const char* what, int rounds, F round) {
  std::vector<double> took;
  for (int i = 0; i < rounds; ++i) {
    auto start = Steady::now();
    round();
    took.push_back(micros_since(start));
  }
  std::sort(took.begin(), took.end());
  auto at = [&](double q) { return took[static_cast<std::size_t>(q * static_cast<double>(took.size() - 1))]; };
  fmt::print("{:<44} median {:>10.0f} us   p99 {:>10.0f} us   ({} rounds)\n", what, at(0.5), at(0.99), rounds);
}

void run(const std::string& directory, std::uint64_t entries) {
  auto path = directory + "/mayfly.db";
  auto store = must(SqliteStore::open(path));
  JobId next = 1;
  time_it("commit: 1 job, 2 ledger entries", 2000, [&] {
    Batch b{.jobs = {sample(next)}, .ledger = {entry(next, "job.submitted"), entry(next, "builder.requested")}};
    must(store->commit(b));
    ++next;
  });
  time_it("commit: 100 jobs, 100 ledger entries", 80, [&] {
    Batch b;
    for (int i = 0; i < 100; ++i, ++next)
      b.jobs.push_back(sample(next)), b.ledger.push_back(entry(next, "job.submitted"));
    must(store->commit(b));
  });
  time_it("load: 10,000 active jobs", 5, [&] { MAYFLY_CHECK(must(store->load()).jobs.size() == next - 1); });
  auto have = must(store->verify_ledger()).entries;
  while (have < entries) {
    Batch b;
    for (int i = 0; i < 10'000 && have < entries; ++i, ++have) b.ledger.push_back(entry(have, "job.started"));
    must(store->commit(b));
  }
  auto start = Steady::now();
  auto n = must(store->verify_ledger()).entries;
  auto us = micros_since(start);
  fmt::print("verify: {} entries in {:.0f} ms, {:.0f} a second; file {} MiB\n", n, us / 1000,
             static_cast<double>(n) / us * 1e6, std::filesystem::file_size(path) >> 20);
}

}  // namespace
}  // namespace mayfly

int main(int argc, char** argv) {
  std::string pattern = std::string(argc > 1 ? argv[1] : "/tmp") + "/mayfly-bench-XXXXXX";
  if (!mkdtemp(pattern.data())) return std::perror("mkdtemp"), 1;
  mayfly::run(pattern, argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1'000'000);
  std::filesystem::remove_all(pattern);
}
