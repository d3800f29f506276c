#pragma once
// Small jobs, builders and ledger entries for the stores' tests.
#include <string>

#include "ports/store.h"

namespace mayfly::contract {

inline Job make_job(JobId id, JobState state = JobState::queued, const std::string& pool = "general") {
  Job j;
  j.id = id;
  j.spec.pool = pool;
  j.spec.command = {"echo", std::to_string(id)};
  j.state = state;
  j.queued_at = from_micros(static_cast<std::int64_t>(1000 * id));
  j.external = {.id = "ci-" + std::to_string(id), .url = "https://ci.example/1", .name = "n", .runner = "r"};
  if (is_final(state)) {
    j.ended_at = from_micros(static_cast<std::int64_t>(1000 * id + 500));
    j.result = {.cause = JobCause::exited, .exit_code = 0, .signal = 0, .message = {}};
  }
  return j;
}

inline Builder make_builder(const BuilderId& id, BuilderState state = BuilderState::ready, JobId job = 0) {
  Builder b;
  b.id = id;
  b.pool = "general";
  b.platform = "fake";
  b.state = state;
  b.job = job;
  b.requested_at = from_micros(7);
  if (is_final(state)) b.gone_at = from_micros(9);
  return b;
}

inline LedgerDraft make_entry(const std::string& subject, const std::string& kind = "job.submitted") {
  return {.at = from_micros(42), .kind = kind, .subject = subject, .detail = R"({"by":"test"})"};
}

}  // namespace mayfly::contract
