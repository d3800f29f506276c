#include "ci/github/rate_budget.h"

#include <gtest/gtest.h>

namespace mayfly::github {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
const Time start = from_micros(1'700'000'000'000'000);

RateBudget::Headers told(int limit, int remaining, Time reset) {
  return {{"x-ratelimit-limit", std::to_string(limit)},
          {"x-ratelimit-remaining", std::to_string(remaining)},
          {"x-ratelimit-reset", std::to_string(to_micros(reset) / 1'000'000)}};
}

// How many routine requests go out within this time, when each that may go goes.
int sent(RateBudget& budget, Time from, Duration within) {
  int count = 0;
  for (Time now = from; now < from + within;) {
    auto wait = budget.admit(Urgency::routine, now);
    if (wait == Duration(0)) ++count;
    now += std::max<Duration>(wait, milliseconds(1));
  }
  return count;
}

TEST(RateBudget, AnHourOfPollingStaysWithinTheAllowanceAndKeepsSomeForUrgentCalls) {
  RateBudget budget;
  budget.heard(200, told(5000, 5000, start + hours(1)), false, start);
  int used = sent(budget, start, hours(1) - seconds(1));
  EXPECT_GT(used, 4000);
  EXPECT_LE(used, 4500);  // a tenth is kept back
  EXPECT_EQ(budget.admit(Urgency::urgent, start + hours(1) - seconds(1)), Duration(0));
}

TEST(RateBudget, WithoutHeadersThePaceIsOneThatEveryTokenHas) {
  RateBudget budget;
  EXPECT_LE(sent(budget, start, hours(1)), 5060);
  EXPECT_GT(sent(budget, start + hours(2), hours(1)), 4900);
}

TEST(RateBudget, NothingGoesOnceTheAllowanceIsGoneUntilItIsRenewed) {
  RateBudget budget;
  budget.heard(200, told(5000, 0, start + minutes(10)), false, start);
  EXPECT_EQ(budget.admit(Urgency::urgent, start), minutes(10));
  EXPECT_EQ(budget.admit(Urgency::routine, start), minutes(10));
  EXPECT_EQ(budget.admit(Urgency::routine, start + minutes(10)), Duration(0));
}

TEST(RateBudget, PausesAsLongAsItIsTold) {
  RateBudget budget;
  budget.heard(429, {{"retry-after", "7"}}, false, start);
  EXPECT_EQ(budget.admit(Urgency::urgent, start + seconds(2)), seconds(5));
  EXPECT_EQ(budget.paused_until(start), start + seconds(7));
  EXPECT_EQ(budget.admit(Urgency::urgent, start + seconds(7)), Duration(0));

  RateBudget secondary;  // 403 with the remark in its text only
  secondary.heard(403, {}, true, start);
  EXPECT_EQ(secondary.admit(Urgency::urgent, start), seconds(60));
  secondary.heard(403, {}, true, start + seconds(60));
  EXPECT_EQ(secondary.admit(Urgency::urgent, start + seconds(60)), seconds(120));  // longer each time
  for (int i = 0; i < 100; ++i) secondary.heard(403, {}, true, start);
  EXPECT_LE(secondary.admit(Urgency::urgent, start), minutes(15));

  RateBudget rights;
  rights.heard(403, {}, false, start);
  EXPECT_EQ(rights.admit(Urgency::routine, start), Duration(0));
}

TEST(RateBudget, GitHubsClockCountsNotOurs) {
  RateBudget budget;
  auto headers = told(5000, 0, start + hours(5) + minutes(1));  // our clock is 5 hours behind
  headers["date"] = "Wed, 15 Nov 2023 03:13:20 GMT";            // start + 5 h
  budget.heard(200, headers, false, start);
  EXPECT_EQ(budget.skew(), hours(5));
  EXPECT_EQ(budget.admit(Urgency::routine, start), minutes(1));
}

TEST(RateBudget, HeadersThatMakeNoSenseChangeNothing) {
  for (const char* odd : {"", "-1", "1e9", "soon", "99999999999999999999", " 5"}) {
    RateBudget budget;
    budget.heard(
        200, {{"x-ratelimit-limit", odd}, {"x-ratelimit-remaining", odd}, {"x-ratelimit-reset", odd}, {"date", odd}},
        false, start);
    EXPECT_EQ(budget.admit(Urgency::routine, start), Duration(0)) << odd;
    EXPECT_EQ(budget.skew(), Duration(0)) << odd;
  }
  RateBudget far;
  far.heard(429, {{"retry-after", "999999999"}}, false, start);
  EXPECT_LE(far.admit(Urgency::urgent, start), hours(2));
  RateBudget other;
  auto search = told(30, 0, start + hours(1));
  search["x-ratelimit-resource"] = "search";
  other.heard(200, search, false, start);
  EXPECT_EQ(other.admit(Urgency::routine, start), Duration(0));
}

TEST(RateBudget, UnchangedAnswersCostNothing) {
  RateBudget budget;
  int polls = 0;
  for (Time now = start; polls < 10'000; ++polls) {
    if (budget.admit(Urgency::routine, now) != Duration(0)) break;
    budget.heard(304, told(5000, 5000, start + hours(1)), false, now);
  }
  EXPECT_EQ(polls, 10'000);
}

}  // namespace
}  // namespace mayfly::github
