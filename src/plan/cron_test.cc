#include "plan/cron.h"

#include <gtest/gtest.h>

#include <ctime>

namespace mayfly::plan {
namespace {

Time at(const char* text) {
  std::tm tm{};
  EXPECT_TRUE(::strptime(text, "%Y-%m-%d %H:%M:%S", &tm));
  return from_micros(static_cast<std::int64_t>(::timegm(&tm)) * 1'000'000);
}

std::string next(const char* expression, const char* zone, const char* from) {
  auto c = Cron::parse(expression, zone);
  if (!c) return c.error().text();
  auto t = c->next(at(from));
  return t ? format_time(*t).substr(0, 16) : "never";
}

std::string last(const char* expression, const char* zone, const char* from) {
  auto c = Cron::parse(expression, zone);
  if (!c) return c.error().text();
  auto t = c->last(at(from));
  return t ? format_time(*t).substr(0, 16) : "never";
}

TEST(Cron, OrdinaryTimes) {
  EXPECT_EQ(next("0 5 * * *", "UTC", "2026-11-22 04:59:59"), "2026-11-22T05:00");
  EXPECT_EQ(next("0 5 * * *", "UTC", "2026-11-22 05:00:00"), "2026-11-23T05:00");
  EXPECT_EQ(last("0 5 * * *", "UTC", "2026-11-22 05:00:00"), "2026-11-22T05:00");
  EXPECT_EQ(last("0 5 * * *", "UTC", "2026-11-22 04:59:59"), "2026-11-21T05:00");
  EXPECT_EQ(next("*/15 * * * *", "UTC", "2026-11-22 05:16:00"), "2026-11-22T05:30");
  EXPECT_EQ(next("5/20 8,9 * * *", "UTC", "2026-11-22 08:46:00"), "2026-11-22T09:05");
}

TEST(Cron, DaysByNameNumberAndRange) {
  // 22 November 2026 is a Sunday.
  EXPECT_EQ(next("0 5 * * MON-FRI", "UTC", "2026-11-22 12:00:00"), "2026-11-23T05:00");
  EXPECT_EQ(next("0 5 * * 7", "UTC", "2026-11-23 12:00:00"), "2026-11-29T05:00");
  EXPECT_EQ(next("0 5 * * 0", "UTC", "2026-11-23 12:00:00"), "2026-11-29T05:00");
  EXPECT_EQ(next("0 0 29 feb *", "UTC", "2026-11-22 12:00:00"), "2028-02-29T00:00");
  EXPECT_EQ(next("0 0 30 FEB *", "UTC", "2026-11-22 12:00:00"), "never");
  EXPECT_EQ(last("0 0 30 FEB *", "UTC", "2026-11-22 12:00:00"), "never");
  // Both day fields given: either will do.
  EXPECT_EQ(next("0 0 13 * FRI", "UTC", "2026-11-22 12:00:00"), "2026-11-27T00:00");
}

TEST(Cron, TheZonesOwnTime) {
  EXPECT_EQ(next("0 5 * * *", "America/Los_Angeles", "2026-11-22 12:59:00"), "2026-11-22T13:00");  // UTC-8
  EXPECT_EQ(next("0 5 * * *", "America/Los_Angeles", "2026-07-01 11:59:00"), "2026-07-01T12:00");  // UTC-7
  EXPECT_EQ(next("30 0 * * *", "Asia/Kolkata", "2026-11-22 18:00:00"), "2026-11-22T19:00");        // UTC+5:30
}

TEST(Cron, InTheSkippedHourItHappensAtTheChange) {
  // Berlin, 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC.
  EXPECT_EQ(next("30 2 * * *", "Europe/Berlin", "2026-03-28 12:00:00"), "2026-03-29T01:00");
  EXPECT_EQ(next("30 2 * * *", "Europe/Berlin", "2026-03-29 01:00:00"), "2026-03-30T00:30");
  EXPECT_EQ(last("30 2 * * *", "Europe/Berlin", "2026-03-29 12:00:00"), "2026-03-29T01:00");
}

TEST(Cron, InTheDoubledHourItHappensOnce) {
  // Berlin, 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC. 02:30 is 00:30 and again 01:30 UTC.
  EXPECT_EQ(next("30 2 * * *", "Europe/Berlin", "2026-10-25 00:00:00"), "2026-10-25T00:30");
  EXPECT_EQ(next("30 2 * * *", "Europe/Berlin", "2026-10-25 00:30:00"), "2026-10-26T01:30");
  EXPECT_EQ(last("30 2 * * *", "Europe/Berlin", "2026-10-25 01:45:00"), "2026-10-25T00:30");
}

TEST(Cron, NextAndLastAreEachOthersInverse) {
  for (auto zone :
       {"UTC", "Europe/Berlin", "America/Los_Angeles", "Australia/Lord_Howe", "Asia/Kolkata", "America/Havana"})
    for (auto expression : {"30 2 * * *", "0 0 * * *", "59 23 * * SUN", "*/30 * 1,15 * *"}) {
      auto c = Cron::parse(expression, zone).value();
      Time t = at("2026-01-01 00:00:00");
      for (int i = 0; i < 400; ++i) {
        auto n = c.next(t);
        ASSERT_TRUE(n && *n > t) << zone << " " << expression;
        ASSERT_EQ(c.last(*n), *n) << zone << " " << expression << " " << format_time(*n);
        ASSERT_LT(*c.last(*n - Duration(1)), *n);
        t = *n;
      }
    }
}

TEST(Cron, RefusesNonsense) {
  for (auto bad : {"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8",
                   "5-1 * * * *", "*/0 * * * *", "a * * * *", "1,, * * * *", "* * * MONDAY *", "-1 * * * *"})
    EXPECT_FALSE(Cron::parse(bad, "UTC")) << bad;
  EXPECT_FALSE(Cron::parse("* * * * *", "Mars/Olympus"));
  EXPECT_FALSE(Cron::parse("* * * * *", ""));
  EXPECT_NE(Cron::parse("60 * * * *", "UTC").error().text().find("'60' does not fit the minute"), std::string::npos);
}

}  // namespace
}  // namespace mayfly::plan
