#include "plan/config_facts.h"

#include <gtest/gtest.h>

namespace mayfly::plan {
namespace {

Config one_pool() {
  Config c;
  c.pools["p"] = {};
  c.pools["p"].name = "p";
  c.pools["p"].image = "img";
  c.images["img"] = {"img", "/recipes/img", {{"BASE", "debian"}}};
  return c;
}

std::string value(const std::vector<Fact>& facts, const std::string& key) {
  for (const auto& f : facts)
    if (f.key == key) return f.value;
  return "(missing)";
}

TEST(ConfigFacts, ValuesAreExactAndAsPeopleWriteThem) {
  PoolSpec p;
  p.limits.memory = 4LL << 30;
  p.limits.disk = (1LL << 30) + 1;
  p.limits.timeout = std::chrono::minutes(90);
  p.limits.grace = milliseconds(250);
  p.limits.cpu = 1.5;
  auto facts = facts_of(p);
  EXPECT_EQ(value(facts, "builders.memory"), "4GiB");
  EXPECT_EQ(value(facts, "builders.disk"), "1073741825B");
  EXPECT_EQ(value(facts, "builders.timeout"), "1h30m");
  EXPECT_EQ(value(facts, "builders.grace"), "250ms");
  EXPECT_EQ(value(facts, "builders.cpu"), "1.5");
}

TEST(ConfigFacts, AnEntryOfTheScheduleIsKnownByItsTime) {
  PoolSpec p;
  p.schedule = {{"0 5 * * *", "UTC", 10, {}, {}}, {"0 20 * * *", "UTC", 0, {}, {}, true}};
  auto facts = facts_of(p);
  EXPECT_EQ(value(facts, "schedule \"0 5 * * *\" UTC"), "warm 10");
  EXPECT_EQ(value(facts, "schedule \"0 20 * * *\" UTC"), "warm 0, refresh idle");
  auto turned = p;
  std::swap(turned.schedule[0], turned.schedule[1]);
  EXPECT_NE(facts_of(turned), facts);
}

TEST(ConfigFacts, TheFingerprintTellsConfigurationsApart) {
  auto a = one_pool(), b = one_pool();
  EXPECT_EQ(fingerprint(a), fingerprint(b));
  b.images["img"].args["BASE"] = "alpine";
  EXPECT_NE(fingerprint(a), fingerprint(b));
  b = one_pool();
  b.pools["p"].ci_settings["organization"] = "acme";
  EXPECT_NE(fingerprint(a), fingerprint(b));
  b = one_pool();
  b.pools["q"] = b.pools["p"];
  EXPECT_NE(fingerprint(a), fingerprint(b));
}

TEST(ConfigFacts, TheShapeIsWhatAStartedBuilderCannotChange) {
  auto a = one_pool(), b = one_pool();
  auto shape = [](const Config& c) { return shape_of(c, c.pools.at("p")); };
  b.pools["p"].max = 99;
  b.pools["p"].limits.timeout = seconds(1);
  EXPECT_EQ(shape(a), shape(b));
  b.pools["p"].limits.memory = 1 << 30;
  EXPECT_NE(shape(a), shape(b));
  b = one_pool();
  b.images["img"].args["BASE"] = "alpine";
  EXPECT_NE(shape(a), shape(b));
}

}  // namespace
}  // namespace mayfly::plan
