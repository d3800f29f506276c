// What the configuration can say, `mayfly plan` must be able to show: each key of the table, when it changes, changes
// the facts that configurations are compared by.
#include <gtest/gtest.h>

#include "app/config_table.h"
#include "plan/config_facts.h"

namespace mayfly {
namespace {

Config a_config() {
  Config c;
  c.pools["p"].name = "p";
  c.pools["p"].schedule.resize(1);
  c.pools["p"].rollout.canary = 0.5;
  c.images["i"].name = "i";
  c.secrets["s"].name = "s";
  c.platforms["local"];
  return c;
}

TEST(ConfigFacts, EveryKeyOfTheTableChangesThem) {
  const auto before = plan::fingerprint(a_config());
  int keys = 0;
  for (const auto& key : config_keys()) {
    if (!key.store) continue;
    auto c = a_config();
    ConfigTarget target{
        &c, &c.images["i"], &c.pools["p"], &c.pools["p"].schedule[0], &c.secrets["s"], &c.platforms["local"]};
    ConfigValue value{"/elsewhere", 77, 7.7, seconds(77), {"other"}, {{"K", "v"}}};
    bool differs = false;  // one of the choices is what holds already
    for (const auto& choice :
         key.kind == ConfigKind::choice
             ? config_words(std::string(key.choices) +
                            (key.later_choices.empty() ? "" : " " + std::string(key.later_choices)))
             : std::vector<std::string>{value.text}) {
      value.text = choice;
      key.store(target, value);
      differs |= plan::fingerprint(c) != before;
    }
    EXPECT_TRUE(differs) << "a change of '" << key.name << "' would not be seen: add it to src/plan/config_facts.cc";
    ++keys;
  }
  EXPECT_GT(keys, 20);
}

}  // namespace
}  // namespace mayfly
