#include <gtest/gtest.h>

#include "model/builder.h"
#include "model/job.h"
#include "model/ledger.h"

namespace mayfly {
namespace {

const JobState all_states[] = {JobState::queued, JobState::assigned,  JobState::running,   JobState::succeeded,
                               JobState::failed, JobState::cancelled, JobState::timed_out, JobState::lost};

TEST(JobLife, EndsExactlyOnce) {
  for (auto from : all_states)
    for (auto to : all_states)
      if (is_final(from)) EXPECT_FALSE(may_follow(from, to)) << to_string(from) << " → " << to_string(to);
}

TEST(JobLife, NamesRoundTrip) {
  for (auto s : all_states) EXPECT_EQ(job_state_from(to_string(s)), s);
  for (int c = 0; c <= static_cast<int>(JobCause::builder_lost); ++c)
    EXPECT_EQ(job_cause_from(to_string(static_cast<JobCause>(c))), static_cast<JobCause>(c));
  for (int c = 0; c <= static_cast<int>(ReasonCode::shutting_down); ++c)
    EXPECT_EQ(reason_code_from(to_string(static_cast<ReasonCode>(c))), static_cast<ReasonCode>(c));
}

TEST(JobLife, ExitCodesOfMayflysOwnFailuresAre125) {
  EXPECT_EQ(client_exit_code({JobCause::exited, 7, 0, ""}), 7);
  EXPECT_EQ(client_exit_code({JobCause::signalled, 0, 9, ""}), 137);
  EXPECT_EQ(client_exit_code({JobCause::builder_lost, 0, 0, ""}), 125);
  EXPECT_EQ(client_exit_code({JobCause::command_not_found, 0, 0, ""}), 127);
}

TEST(BuilderLife, GoneIsReachedOnlyThroughStopping) {
  EXPECT_FALSE(may_follow(BuilderState::ready, BuilderState::gone));
  EXPECT_TRUE(may_follow(BuilderState::stopping, BuilderState::gone));
  EXPECT_FALSE(may_follow(BuilderState::gone, BuilderState::lost));
}

TEST(Ledger, FindsAnyChange) {
  LedgerEntry first{.seq = 1,
                    .at = from_micros(5),
                    .kind = "a.b",
                    .subject = "s",
                    .detail = "{}",
                    .previous = ledger_genesis,
                    .hash = {}};
  first.hash = ledger_hash(first);
  LedgerEntry second{.seq = 2,
                     .at = from_micros(6),
                     .kind = "c.d",
                     .subject = "s",
                     .detail = "{}",
                     .previous = first.hash,
                     .hash = {}};
  second.hash = ledger_hash(second);
  EXPECT_TRUE(verify_link(nullptr, first));
  EXPECT_TRUE(verify_link(&first, second));
  EXPECT_FALSE(verify_link(nullptr, second));
  auto changed = second;
  changed.detail = "{ }";
  EXPECT_FALSE(verify_link(&first, changed));
  changed = second;
  changed.kind = "c.";
  changed.subject = "ds";  // the same bytes, cut elsewhere
  EXPECT_FALSE(verify_link(&first, changed));
}

TEST(Secrets, VariableNames) { EXPECT_EQ(secret_variable("npm-token.2"), "NPM_TOKEN_2"); }

}  // namespace
}  // namespace mayfly
