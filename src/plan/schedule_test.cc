#include "plan/schedule.h"

#include <gtest/gtest.h>

namespace mayfly::plan {
namespace {

// 22 November 2026 is a Sunday; 1795305600 is its midnight UTC.
Time sunday(int hour, int minute = 0) { return from_micros((1'795'305'600LL + hour * 3600 + minute * 60) * 1'000'000); }

ScheduleEntry entry(std::string cron, std::optional<int> warm, std::string zone = "UTC") {
  ScheduleEntry e;
  e.cron = std::move(cron);
  e.timezone = std::move(zone);
  e.warm = warm;
  return e;
}

TEST(Schedule, TheEntryCountsWhoseTimeCameLast) {
  PoolSpec pool;
  pool.max = 50;
  pool.schedule = {entry("0 5 * * MON-FRI", 10, "America/Los_Angeles"), entry("0 20 * * *", 0, "America/Los_Angeles")};
  Schedule s(pool);
  EXPECT_EQ(s.at(sunday(12)).warm, 0);           // since 20:00 on Saturday in Los Angeles
  EXPECT_EQ(s.at(sunday(24 + 12, 59)).warm, 0);  // Monday, 04:59 there
  EXPECT_EQ(s.at(sunday(24 + 13)).warm, 10);     // Monday, 05:00 there
  EXPECT_EQ(s.at(sunday(24 + 12, 59)).until, sunday(24 + 13));
  EXPECT_EQ(s.at(sunday(24 + 28)).warm, 0);  // 20:00 there
}

TEST(Schedule, WithoutEntriesThePoolsOwnNumbersHold) {
  PoolSpec pool;
  pool.warm = 3;
  pool.min = 1;
  pool.max = 7;
  auto n = Schedule(pool).at(sunday(1));
  EXPECT_EQ(n.warm, 3);
  EXPECT_EQ(n.min, 1);
  EXPECT_EQ(n.max, 7);
  EXPECT_FALSE(n.until);
  EXPECT_FALSE(n.refresh);
}

TEST(Schedule, TheLimitHolds) {
  PoolSpec pool;
  pool.warm = 5;
  pool.max = 5;
  auto down = entry("0 0 * * *", std::nullopt);
  down.max = 0;
  pool.schedule = {down};
  EXPECT_EQ(Schedule(pool).at(sunday(1)).max, 0);
  EXPECT_EQ(Schedule(pool).at(sunday(1)).warm, 0);
}

TEST(Schedule, TheNightlyRefreshIsTheLastOne) {
  PoolSpec pool;
  auto nightly = entry("0 3 * * *", std::nullopt);
  nightly.refresh = true;
  pool.schedule = {nightly};
  EXPECT_EQ(Schedule(pool).at(sunday(3)).refresh, sunday(3));
  EXPECT_EQ(Schedule(pool).at(sunday(2, 59)).refresh, sunday(-21));
}

TEST(Schedule, SaysWhichEntryCounts) {
  PoolSpec pool;
  pool.warm = 1;
  pool.max = 5;
  pool.schedule = {{"0 5 * * *", "UTC", 10, {}, {}}, {"0 6 * * *", "UTC", {}, {}, 8}};
  Time seven = from_micros(1'800'000'000'000'000);  // 08:00 UTC
  auto from = Schedule(pool).sources(seven);
  ASSERT_EQ(from.size(), 3u);
  EXPECT_EQ(from[0].value, 8);  // of the 10, what max allows
  EXPECT_EQ(from[0].entry, "0 5 * * * UTC");
  EXPECT_EQ(seven - from[0].since, std::chrono::hours(3));
  EXPECT_EQ(from[1].entry, "");
  EXPECT_EQ(from[2].value, 8);
  EXPECT_EQ(from[2].entry, "0 6 * * * UTC");
}

}  // namespace
}  // namespace mayfly::plan
