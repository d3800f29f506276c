#include "simulate/windows.h"

#include <gtest/gtest.h>

#include "plan/cron.h"
#include "simulate/target.h"

namespace mayfly::simulate {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

constexpr Duration day = hours(24);

// Of three weeks: some jobs at each of these hours of each working day, and one in each night.
Workload weeks(int first_hour, int last_hour, int each = 6) {
  Workload w;
  auto pool = w.pool("p");
  auto by = w.submitter("");
  for (int d = 0; d < 21; ++d) {
    if (d % 7 < 5)
      for (int h = first_hour; h < last_hour; ++h)
        for (int i = 0; i < each; ++i)
          w.jobs.push_back({trace_epoch() + day * d + hours(h) + minutes(3 + 9 * i), minutes(4), pool, by, 0});
    w.jobs.push_back({trace_epoch() + day * d + hours(3), minutes(4), pool, by, 0});
  }
  w.sort();
  return w;
}

TEST(Windows, AreTheHoursThatMostJobsComeIn) {
  auto found = busy_windows(weeks(8, 18).jobs, "UTC");
  EXPECT_NE(std::find(found.begin(), found.end(), Window{8, 18, true}), found.end());
  // Seen from New York, five hours behind in January.
  found = busy_windows(weeks(8, 18).jobs, "America/New_York");
  EXPECT_NE(std::find(found.begin(), found.end(), Window{3, 13, true}), found.end());
}

TEST(Windows, MayLieOverMidnightAndNoneIsAllDay) {
  Workload w;
  auto pool = w.pool("p");
  for (int d = 0; d < 7; ++d)
    for (int h : {22, 23, 0, 1}) w.jobs.push_back({trace_epoch() + day * d + hours(h), minutes(4), pool, 0, 0});
  auto found = busy_windows(w.jobs, "UTC");
  EXPECT_NE(std::find(found.begin(), found.end(), Window{22, 2, false}), found.end());
  w.jobs.clear();
  for (int h = 0; h < 24 * 7; ++h) w.jobs.push_back({trace_epoch() + hours(h), minutes(4), pool, 0, 0});
  for (const auto& any : busy_windows(w.jobs, "UTC")) EXPECT_FALSE(any.working_days);
}

TEST(Windows, OpenAheadOfTheirFirstJobAndCloseOnTheRightDay) {
  auto e = entries_of({8, 18, true}, "Europe/Paris", 5, std::chrono::seconds(61));
  ASSERT_EQ(e.size(), 2u);
  EXPECT_EQ(e[0].cron, "58 7 * * MON-FRI");
  EXPECT_EQ(e[0].warm, 5);
  EXPECT_EQ(e[1].cron, "0 18 * * MON-FRI");
  EXPECT_EQ(e[1].warm, 0);
  EXPECT_EQ(entries_of({22, 6, true}, "UTC", 1, {})[1].cron, "0 6 * * TUE-SAT");
  EXPECT_EQ(entries_of({22, 6, false}, "UTC", 1, {})[1].cron, "0 6 * * *");
  EXPECT_EQ(entries_of({0, 6, true}, "UTC", 1, minutes(5))[0].cron, "0 0 * * MON-FRI");
  for (const auto& window : {Window{0, 22, true}, Window{23, 1, false}})
    for (const auto& entry : entries_of(window, "UTC", 2, minutes(7)))
      EXPECT_TRUE(plan::Cron::parse(entry.cron, entry.timezone)) << entry.cron;
}

Config config() {
  Config c;
  auto& p = c.pools["p"];
  p.name = "p", p.image = "img", p.price = 1, p.max = 20;
  return c;
}

TEST(FindSchedule, KeepsBuildersWarmOnlyWhileJobsCome) {
  const Settings slow{.start = minutes(2), .launches = 100};
  const auto w = weeks(8, 18);
  const auto target = parse_target("p90 wait <= 10s").value();
  auto tried = find_cheapest(config(), w, slow, target);
  ASSERT_TRUE(tried) << tried.error().text();
  const auto& found = *tried;
  EXPECT_TRUE(found.met);
  const auto& p = found.config.pools.at("p");
  EXPECT_EQ(p.warm, 0);
  ASSERT_EQ(p.schedule.size(), 2u);
  EXPECT_EQ(p.schedule[0].cron, "58 7 * * MON-FRI");
  EXPECT_EQ(p.schedule[1].cron, "0 18 * * MON-FRI");
  ASSERT_TRUE(found.constant);
  EXPECT_LT(found.outcome.cost(), 0.5 * found.constant->cost());
  EXPECT_TRUE(target.met(*found.constant));
  // What was found, taken as a configuration, gives the same again.
  EXPECT_EQ(simulate(found.config, w, slow).value().waits, found.outcome.waits);
  // A schedule of the configuration's own does not count against it, but says whose clock is meant.
  auto own = config();
  own.pools["p"].schedule = {{"0 0 * * *", "Asia/Tokyo", 20, {}, {}}};
  auto again = find_cheapest(own, w, slow, target).value();
  EXPECT_EQ(again.config.pools.at("p").schedule[0].timezone, "Asia/Tokyo");
  EXPECT_DOUBLE_EQ(again.outcome.cost(), found.outcome.cost());
}

TEST(FindSchedule, IsNotThereWhereItIsOfNoUse) {
  const Settings slow{.start = minutes(2), .launches = 100};
  const auto target = parse_target("p90 wait <= 10s").value();
  auto fast = find_cheapest(config(), weeks(8, 18), {}, target).value();  // no warm builder is needed
  EXPECT_TRUE(fast.config.pools.at("p").schedule.empty());
  EXPECT_FALSE(fast.constant);
  auto w = weeks(8, 18);
  std::erase_if(w.jobs, [](const Arrival& a) { return a.submitted >= trace_epoch() + day; });
  EXPECT_TRUE(find_cheapest(config(), w, slow, target).value().config.pools.at("p").schedule.empty());
  Workload flat;
  for (int i = 0; i < 24 * 7 * 4; ++i)
    flat.jobs.push_back({trace_epoch() + minutes(15) * i, minutes(4), flat.pool("p"), flat.submitter(""), 0});
  const auto nearly_all = parse_target("p98 wait <= 10s").value();
  EXPECT_TRUE(find_cheapest(config(), flat, slow, nearly_all).value().config.pools.at("p").schedule.empty());
}

}  // namespace
}  // namespace mayfly::simulate
