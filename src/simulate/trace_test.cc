#include <gtest/gtest.h>

#include "simulate/workload.h"

namespace mayfly::simulate {
namespace {

std::string refused(std::string_view text, const PoolName& fallback = "p") {
  auto w = parse_trace(text, "t.csv", fallback);
  return w ? "" : w.error().text();
}

TEST(Trace, TimesAndDurationsInBothWays) {
  auto w = parse_trace(
      "\xef\xbb\xbfsubmitted,duration,pool,submitter,priority,extra\r\n"
      "2026-01-05T01:00:00.5+01:00,90s,a,ann,5,x\r\n\n"
      "0.25, 30 ,b,,\n"
      "10,1.5,,bob,-3\n",
      "t.csv", "p");
  ASSERT_TRUE(w) << w.error().text();
  ASSERT_EQ(w->jobs.size(), 3u);
  EXPECT_EQ(w->jobs[0].submitted, trace_epoch() + milliseconds(250));
  EXPECT_EQ(w->jobs[0].duration, seconds(30));
  EXPECT_EQ(w->jobs[1].submitted, trace_epoch() + milliseconds(500));
  EXPECT_EQ(w->demands[w->jobs[1].demand].pool, "a");
  EXPECT_EQ(w->submitters[w->jobs[1].submitter], "ann");
  EXPECT_EQ(w->jobs[1].priority, 5);
  EXPECT_EQ(w->jobs[2].duration, milliseconds(1500));
  EXPECT_EQ(w->demands[w->jobs[2].demand].pool, "p");
}

TEST(Trace, LabelsInAnyOrderAreOneDemand) {
  auto w = parse_trace(
      "submitted,duration,labels,submitter\n"
      "0,1s,linux gpu,ann\n"
      "1,1s,gpu; linux,ann\n"
      "2,1s,\"linux,gpu\",bob\n"
      "3,1s,,ann\n"
      "4,1s,linux,ann\n",
      "t.csv", "p");
  ASSERT_TRUE(w) << w.error().text();
  ASSERT_EQ(w->demands.size(), 3u);
  EXPECT_EQ(w->demands[0].labels, (std::vector<std::string>{"gpu", "linux"}));
  EXPECT_EQ(w->demands[0].where, "t.csv:2");
  EXPECT_EQ(w->demands[1].pool, "p");
  EXPECT_EQ(w->demands[2].where, "t.csv:6");
  EXPECT_EQ(w->jobs[1].demand, 0u);
  EXPECT_EQ(w->submitters[w->jobs[2].submitter], "bob");
  EXPECT_NE(refused("submitted,duration,pool,labels\n1,1s,a,b\n").find("t.csv:2: it names a pool and labels"),
            std::string::npos);
  EXPECT_NE(refused("submitted,duration,labels\n1,1s,\"a,b\n").find("t.csv:2: \"a does not end"), std::string::npos);
}

TEST(Trace, EveryWrongLineIsNamed) {
  auto text = refused("submitted,duration,priority\n1,5m\nyesterday,5m\n2,long\n3,\n4,1s,1.5\n-1,1s\n5,1s\n");
  EXPECT_EQ(text.find("t.csv:2:"), std::string::npos) << text;
  for (auto part : {"t.csv:3: 'yesterday' is no time", "t.csv:4: 'long' is no duration",
                    "t.csv:5: there is no 'duration'", "t.csv:6: '1.5' is no priority", "t.csv:7: '-1' is no time"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

TEST(Trace, WhatCannotBeATrace) {
  EXPECT_NE(refused("").find("t.csv:1"), std::string::npos);
  EXPECT_NE(refused("duration,pool\n1,p\n").find("no column 'submitted'"), std::string::npos);
  EXPECT_NE(refused("submitted,submitted,duration\n").find("twice"), std::string::npos);
  EXPECT_NE(refused("submitted,duration\n").find("no job"), std::string::npos);
  EXPECT_NE(refused("submitted,duration\n1,2\n", "").find("t.csv:2: it names no pool"), std::string::npos);
  for (auto time : {"2026-02-30T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00", "2026-01-01", "1e9", "nan",
                    "1970-01-01T00:00:00Z", "2026-01-01T00:00:00.Z"})
    EXPECT_NE(refused("submitted,duration\n" + std::string(time) + ",1s\n").find("is no time"), std::string::npos)
        << time;
}

TEST(Trace, NoMoreThanTwentyErrors) {
  std::string text = "submitted,duration\n";
  for (int i = 0; i < 100; ++i) text += "x,y\n";
  auto said = refused(text);
  EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 19);
}

TEST(History, LeavesOutWhatNeverRan) {
  Job ran, cancelled;
  ran.spec.pool = cancelled.spec.pool = "p";
  ran.queued_at = trace_epoch(), ran.started_at = trace_epoch() + seconds(3), ran.ended_at = trace_epoch() + seconds(8);
  auto w = history_workload({ran, cancelled});
  ASSERT_EQ(w.jobs.size(), 1u);
  EXPECT_EQ(w.jobs[0].duration, seconds(5));
  EXPECT_EQ(w.left_out, 1u);
}

TEST(History, AJobThatAskedForLabelsAsksForThemAgain) {
  Job j;
  j.id = 7;
  j.spec.pool = "where-it-ran", j.spec.labels = {"linux", "gpu"}, j.spec.secrets = {"token"};
  j.queued_at = trace_epoch(), j.started_at = trace_epoch() + seconds(3), j.ended_at = trace_epoch() + seconds(8);
  auto w = history_workload({j});
  ASSERT_EQ(w.demands.size(), 1u);
  EXPECT_EQ(w.demands[0].pool, "");
  EXPECT_EQ(w.demands[0].labels, (std::vector<std::string>{"gpu", "linux"}));
  EXPECT_EQ(w.demands[0].secrets, (std::vector<std::string>{"token"}));
  EXPECT_EQ(w.demands[0].where, "job 7 of the history");
}

}  // namespace
}  // namespace mayfly::simulate
